//! One cell of the report.

use super::exponents::Divergence;
use super::{Metrics, Stage2Error};
use crate::analysis::correlation::round_to;
use crate::analysis::planning_gap::Gap;
use serde::Serialize;

/// Decimals of the metrics.
const DECIMALS: usize = 6;

/// What is known of how a cell plans.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Downstream {
    /// The verdict on its gap.
    pub verdict: String,
    /// Success with the true dynamics less success with the learned ones.
    pub gap: f64,
    /// The first share.
    pub oracle_success_rate: f64,
    /// The second share.
    pub learned_success_rate: f64,
    /// Steps of training, where they are known.
    pub training_steps: Option<u64>,
}

/// Where a row comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Context {
    /// Name of the file of the gap.
    pub downstream_json: String,
    /// Share of successful episodes with the true dynamics.
    pub oracle_success_rate: f64,
    /// Share with the learned ones.
    pub learned_success_rate: f64,
    /// Steps of training.
    pub training_steps: Option<u64>,
    /// States of the sample.
    pub n_states: usize,
    /// Actions of its sequence.
    pub k_steps: usize,
}

/// A gap that was to be measured anew: nothing in files where it was not asked for, else the entry
/// `measured`, and beside a `null` the reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Measured {
    /// Not asked for.
    NotAsked {},
    /// It is known.
    Known {
        /// The gap.
        measured: Gap,
    },
    /// The model's arm could not be run to its end.
    Skipped {
        /// `null` in files.
        measured: (),
        /// Why.
        measured_skipped: String,
    },
}

impl Measured {
    /// What came of a measurement.
    ///
    /// # Errors
    /// The error, if it is the device's.
    pub fn of(found: Result<Gap, Stage2Error>) -> Result<Self, Stage2Error> {
        match found {
            Ok(measured) => Ok(Self::Known { measured }),
            Err(error) if error.is_of_device() => Err(error),
            Err(error) => Ok(Self::Skipped {
                measured: (),
                measured_skipped: error.to_string(),
            }),
        }
    }
}

/// A row of the report.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CellRow {
    /// Environment.
    pub env: String,
    /// Millions of parameters, as models of this kind are called.
    pub model_size: u32,
    /// Seed of training and of the planner.
    pub seed: u32,
    /// Verdict on the gap.
    pub verdict: String,
    /// M1.
    pub m1_l2_onestep: f64,
    /// M2.
    pub m2_l2_kstep: f64,
    /// M3.
    pub m3_action_agreement: Option<f64>,
    /// The published gap.
    pub gap: f64,
    /// Where it comes from.
    pub context: Context,
    /// M3 of actions that are held for K steps; beyond the published keys.
    pub m3_held_action_agreement: Option<f64>,
    /// M4: mean difference of the largest exponents; beyond the published keys.
    pub m4_exponent_difference: Option<f64>,
    /// Mean magnitude of that difference.
    pub m4_exponent_distance: Option<f64>,
    /// The gap measured anew, if asked for.
    #[serde(flatten)]
    pub measured: Measured,
}

impl CellRow {
    /// A row of rounded metrics.
    ///
    /// # Errors
    /// [`Stage2Error::Request`] for a gap that is not finite.
    pub fn new(
        (env, model_size, seed): (&str, u32, u32),
        metrics: &Metrics,
        downstream: &Downstream,
        context: Context,
    ) -> Result<Self, Stage2Error> {
        if !downstream.gap.is_finite() {
            let what = format!("{env}: gap");
            return Err(super::error::refuse(
                what,
                "a finite number",
                downstream.gap,
            ));
        }
        let round = |value: f64| round_to(value, DECIMALS);
        let divergence =
            |of: fn(&Divergence) -> f64| metrics.divergence.as_ref().map(of).map(round);
        Ok(Self {
            env: env.to_owned(),
            model_size,
            seed,
            verdict: downstream.verdict.clone(),
            m1_l2_onestep: round(metrics.one_step),
            m2_l2_kstep: round(metrics.k_step),
            m3_action_agreement: metrics.agreement.map(round),
            gap: downstream.gap,
            context,
            m3_held_action_agreement: metrics.held_agreement.map(round),
            m4_exponent_difference: divergence(|d| d.mean),
            m4_exponent_distance: divergence(|d| d.mean_absolute),
            measured: Measured::NotAsked {},
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::DeviceError;
    use crate::graph::GraphError;
    use crate::samplers::shooting::ShootingError;
    use serde_json::{Value, json};

    #[derive(Serialize)]
    struct Row {
        env: u32,
        #[serde(flatten)]
        measured: Measured,
    }

    fn written(measured: Measured) -> Value {
        serde_json::to_value(Row { env: 1, measured }).unwrap()
    }

    #[test]
    fn a_model_without_plans_loses_its_measurement_alone() {
        let error = ShootingError::NotFinite { environment: 3 };
        let found = written(Measured::of(Err(error.into())).unwrap());
        assert_eq!(found["measured"], Value::Null);
        assert!(found.as_object().unwrap().contains_key("measured"));
        let reason = found["measured_skipped"].as_str().unwrap();
        assert!(reason.contains("environment 3"), "{reason}");

        let gap = Gap::of(&[true, true], &[true, false]).unwrap();
        let found = written(Measured::of(Ok(gap)).unwrap());
        assert_eq!(found["measured"]["gap"], 0.5);
        assert!(found.get("measured_skipped").is_none());
        assert_eq!(written(Measured::NotAsked {}), json!({"env": 1}));
    }

    #[test]
    fn a_device_that_fails_ends_the_run_and_a_limit_does_not() {
        let shooting = |device| Stage2Error::Shooting(GraphError::Device(device).into());
        let (device, message) = ("d".to_owned(), "gone".to_owned());
        let lost = shooting(DeviceError::Lost { device, message });
        assert!(lost.is_of_device());
        assert!(Measured::of(Err(lost)).is_err());
        let limit = shooting(DeviceError::TooManyWorkgroups {
            what: "a layer".into(),
            count: 9,
            limit: 8,
            device: "d".into(),
        });
        assert!(Measured::of(Err(limit)).is_ok());
    }
}
