//! Constants of the planner.

use super::MppiError;
use crate::models::tdmpc2::Tdmpc2Config;
use serde::Serialize;

/// Actions from which on the original plans two rounds more.
const MANY_ACTIONS: usize = 20;
/// Most numbers of one run's candidates, so that indices stay within 32 bits.
const MOST_NUMBERS: usize = 1 << 30;

/// Constants of model predictive path integral control as TD-MPC2 runs it (Hansen, Su, Wang 2024, section 3.2
/// and table 8).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MppiSettings {
    /// Rounds of sampling.
    pub iterations: usize,
    /// Candidates of a round.
    pub samples: usize,
    /// Best candidates, which the next round is drawn about.
    pub elites: usize,
    /// Candidates that are the policy's own, the same in every round.
    pub policies: usize,
    /// Steps of a candidate.
    pub horizon: usize,
    /// Smallest deviation of an action.
    pub least_deviation: f64,
    /// Largest deviation of an action, and the first.
    pub largest_deviation: f64,
    /// Factor on differences of values in an elite's weight.
    pub temperature: f64,
    /// Factor on a reward one step later.
    pub discount: f64,
}

impl MppiSettings {
    /// The settings that a model's configuration names; two rounds more for 20 and more actions.
    pub fn of(config: &Tdmpc2Config) -> Self {
        let more = if config.action_dim >= MANY_ACTIONS {
            2
        } else {
            0
        };
        Self {
            iterations: config.iterations + more,
            samples: config.num_samples,
            elites: config.num_elites,
            policies: config.num_pi_trajs,
            horizon: config.horizon,
            least_deviation: config.min_std,
            largest_deviation: config.max_std,
            temperature: config.temperature,
            discount: config.discount(),
        }
    }

    /// Checks the settings by themselves and against a model.
    ///
    /// # Errors
    /// [`MppiError::Setting`] naming the first that does not hold.
    pub fn check(&self, config: &Tdmpc2Config) -> Result<(), MppiError> {
        let refuse = |setting, expected: String, found: String| {
            Err(MppiError::Setting {
                setting,
                expected,
                found,
            })
        };
        let positive = [
            ("iterations", self.iterations),
            ("samples", self.samples),
            ("elites", self.elites),
            ("horizon", self.horizon),
        ];
        if let Some((setting, _)) = positive.iter().find(|(_, value)| *value == 0) {
            return refuse(setting, "at least 1".into(), "0".into());
        }
        let of_samples = [
            ("elites", self.elites),
            ("policy trajectories", self.policies),
        ];
        if let Some((setting, found)) = of_samples.iter().find(|(_, n)| *n > self.samples) {
            let expected = format!("at most samples = {}", self.samples);
            return refuse(setting, expected, found.to_string());
        }
        let length = self.horizon.saturating_mul(config.action_dim);
        let numbers = [length, config.latent_dim, config.mlp_dim, self.iterations]
            .map(|width| self.samples.saturating_mul(width));
        if let Some(most) = numbers.iter().max().filter(|most| **most > MOST_NUMBERS) {
            let expected = format!("at most {MOST_NUMBERS} numbers of all candidates");
            return refuse("samples", expected, most.to_string());
        }
        let least = self.least_deviation;
        if !(least.is_finite() && least >= 0.0) {
            return refuse(
                "least deviation",
                "0 or more, finite".into(),
                least.to_string(),
            );
        }
        let largest = self.largest_deviation;
        if !(largest.is_finite() && largest >= least) {
            let expected = format!("at least the least deviation, {least}, and finite");
            return refuse("largest deviation", expected, largest.to_string());
        }
        let numbers = [
            ("temperature", self.temperature),
            ("discount", self.discount),
        ];
        let wrong = |value: f64| !(value.is_finite() && (0.0..=1e6).contains(&value));
        if let Some((setting, found)) = numbers.iter().find(|(_, value)| wrong(*value)) {
            return refuse(setting, "a number from 0 to 1e6".into(), found.to_string());
        }
        if config.num_q < 2 {
            let expected = "at least 2 value functions to take two of".into();
            return refuse("num_q of the model", expected, config.num_q.to_string());
        }
        Ok(())
    }

    /// Numbers of a candidate's sequence of actions.
    pub fn length(&self, config: &Tdmpc2Config) -> usize {
        self.horizon * config.action_dim
    }
}

#[cfg(test)]
mod tests {
    use super::MppiSettings;
    use crate::models::tdmpc2::Tdmpc2Config;

    #[test]
    fn many_actions_take_two_rounds_more() {
        for (action_dim, iterations) in [(1, 6), (19, 6), (20, 8), (38, 8)] {
            let config = Tdmpc2Config {
                action_dim,
                ..Tdmpc2Config::default()
            };
            assert_eq!(MppiSettings::of(&config).iterations, iterations);
        }
    }

    #[test]
    fn settings_out_of_range_are_named() {
        let config = Tdmpc2Config::default();
        let good = MppiSettings::of(&config);
        good.check(&config).unwrap();
        let refused = |settings: MppiSettings, name: &str| {
            let error = settings.check(&config).unwrap_err().to_string();
            assert!(error.contains(name), "{error}");
        };
        refused(MppiSettings { samples: 0, ..good }, "samples");
        refused(
            MppiSettings {
                iterations: 0,
                ..good
            },
            "iterations",
        );
        refused(MppiSettings { horizon: 0, ..good }, "horizon");
        refused(
            MppiSettings {
                elites: 513,
                ..good
            },
            "elites: expected at most samples = 512",
        );
        refused(
            MppiSettings {
                policies: 513,
                ..good
            },
            "policy trajectories",
        );
        refused(
            MppiSettings {
                samples: 1 << 40,
                ..good
            },
            "samples",
        );
        refused(
            MppiSettings {
                least_deviation: f64::NAN,
                ..good
            },
            "least deviation",
        );
        refused(
            MppiSettings {
                largest_deviation: 0.01,
                ..good
            },
            "largest deviation",
        );
        refused(
            MppiSettings {
                temperature: -1.0,
                ..good
            },
            "temperature",
        );
        refused(
            MppiSettings {
                discount: f64::INFINITY,
                ..good
            },
            "discount",
        );
        let lone = Tdmpc2Config {
            num_q: 1,
            ..config.clone()
        };
        let error = good.check(&lone).unwrap_err().to_string();
        assert!(error.contains("num_q"), "{error}");
    }
}
