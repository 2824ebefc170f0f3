//! How good the draws of a flow-matching policy are: readouts, the evaluation panel, fan and lag.
