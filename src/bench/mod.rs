//! How fast the engine is, and whether what it measured was right: every kernel and the samplers on one
//! device, held against the roofline that a copy and a chain of multiply-adds show there, and against
//! the double-precision twins.
//!
//! Times are device timestamps on a GPU that has them and the host's clock elsewhere; a record says which.

mod array;
mod cases;
mod control;
mod ensemble;
mod error;
mod exponents;
mod flow;
mod header;
mod kernels;
mod measure;
mod memory;
mod mppi;
mod planner;
mod roofline;
mod text;
mod work;
mod workload;

pub use array::Array;
pub use cases::{Case, Fill, Tolerance, cases};
pub use control::{ControlRecord, control};
pub use ensemble::{EnsembleRecord, measure_ensembles};
pub use error::BenchError;
pub use exponents::{ExponentsRecord, exponent_workloads, measure_exponents};
pub use flow::{FlowBench, FlowInputs, FlowRecord, FlowRow, stand_in_decoder};
pub use header::Header;
pub use kernels::{KernelRecord, measure_kernel};
pub use measure::{Clock, Effort, Spread};
pub use memory::{MemoryRecord, measure_memory, resident_bytes};
pub use mppi::{MppiRecord, measure_mppi, mppi_workloads};
pub use planner::{PlannerBench, PlannerRecord};
pub use roofline::Roofline;
pub use text::{
    control_line, drift_line, ensemble_table, exponents_table, flow_table, kernel_table,
    memory_line, mppi_table, planner_table, roofline_lines, slowest_lines,
};
pub use work::SlowNode;
pub use workload::Workload;
