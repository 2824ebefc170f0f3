//! Textbook systems: names, parameters, where to start them, how large their steps are, and what the
//! literature says of their exponents. The formulas are in [`attractor_kernels::tangent_ensemble`].

mod discrete;
mod flows;

use attractor_kernels::ode_ensemble::OdeMethod;
use attractor_kernels::philox::philox4x32;
use attractor_kernels::tangent_ensemble::DynamicalSystem;
use serde::Serialize;
use thiserror::Error;

/// A system that is not there, or a setting that it does not have.
#[derive(Debug, Error, PartialEq)]
pub enum ClassicalError {
    /// No system of that name.
    #[error("expected a system ({known}), found {found:?}")]
    System {
        /// The name.
        found: String,
        /// Names that there are.
        known: String,
    },
    /// No parameter of that name.
    #[error("parameter of {system}: expected one of {known}, found {found:?}")]
    Parameter {
        /// System.
        system: &'static str,
        /// The name.
        found: String,
        /// Names that there are.
        known: String,
    },
    /// A setting is infinite, NaN, or not of single precision.
    #[error("{setting} of {system}: expected {expected}, found {found}")]
    Value {
        /// System.
        system: &'static str,
        /// Setting.
        setting: String,
        /// What it may be.
        expected: &'static str,
        /// What was given.
        found: f64,
    },
}

/// What a system's steps are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Motion {
    /// One application of a map.
    Map,
    /// A Runge-Kutta step of a flow.
    Flow {
        /// Euler's method, the midpoint rule, Heun's or the classic method.
        method: OdeMethod,
        /// Step size in units of time; negative steps go back in time.
        step: f64,
    },
}

/// Exponents that the literature gives for the default parameters.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Literature {
    /// The leading ones, per iteration of a map or per unit of time of a flow, natural logarithms.
    pub exponents: &'static [f64],
    /// Where they are from.
    pub source: &'static str,
}

/// A textbook system with its settings.
#[derive(Debug, Clone, PartialEq)]
pub struct System {
    /// Formulas.
    pub dynamics: DynamicalSystem,
    /// Map, or method and step size.
    pub motion: Motion,
    /// Initial state.
    pub start: Vec<f64>,
    /// Steps until an orbit from there is on the attractor.
    pub transient: u32,
    parameters: Vec<(&'static str, f64)>,
    changed: bool,
    facts: &'static Facts,
}

/// What a table of systems says of one.
#[derive(Debug)]
struct Facts {
    dynamics: DynamicalSystem,
    title: &'static str,
    /// Default parameters, those of the kernel first, in its order.
    parameters: &'static [(&'static str, f64)],
    start: &'static [f64],
    /// Other starts lie within this of it.
    spread: f64,
    /// Default step size; 0 for a map.
    step: f64,
    transient: u32,
    /// Where a system of two numbers is looked at: left and right edge, lower and upper edge.
    domain: Option<[f64; 4]>,
    literature: Literature,
    /// Mean logarithm of the growth of volumes, where it does not hang on the orbit.
    divergence: Option<fn(&[f64]) -> f64>,
}

/// The tables hold each system once.
impl PartialEq for Facts {
    fn eq(&self, other: &Self) -> bool {
        self.dynamics == other.dynamics
    }
}

fn tables() -> impl Iterator<Item = &'static Facts> {
    discrete::TABLE.iter().chain(flows::TABLE)
}

impl System {
    /// Names of all systems.
    pub fn names() -> Vec<&'static str> {
        tables().map(|facts| facts.dynamics.name()).collect()
    }

    /// The system of a name with its usual settings. Capitals, spaces, hyphens and underscores do not
    /// matter.
    ///
    /// # Errors
    /// [`ClassicalError::System`] where there is none.
    pub fn parse(name: &str) -> Result<Self, ClassicalError> {
        let plain = |name: &str| {
            let letters = name.chars().filter(char::is_ascii_alphanumeric);
            letters.collect::<String>().to_ascii_lowercase()
        };
        let wanted = plain(name);
        let facts = tables().find(|facts| plain(facts.dynamics.name()) == wanted);
        let facts = facts.ok_or_else(|| ClassicalError::System {
            found: name.into(),
            known: Self::names().join(", "),
        })?;
        let motion = match facts.dynamics.is_flow() {
            false => Motion::Map,
            true => Motion::Flow {
                method: OdeMethod::RK4,
                step: facts.step,
            },
        };
        Ok(Self {
            dynamics: facts.dynamics,
            motion,
            start: facts.start.to_vec(),
            transient: facts.transient,
            parameters: facts.parameters.to_vec(),
            changed: false,
            facts,
        })
    }

    /// Name.
    pub fn name(&self) -> &'static str {
        self.dynamics.name()
    }

    /// Name in words.
    pub fn title(&self) -> &'static str {
        self.facts.title
    }

    /// Numbers in a state.
    pub fn dimension(&self) -> usize {
        self.dynamics.dimension() as usize
    }

    /// Names and values of the parameters.
    pub fn parameters(&self) -> &[(&'static str, f64)] {
        &self.parameters
    }

    /// A parameter's value.
    pub fn parameter(&self, name: &str) -> Option<f64> {
        let mut named = self.parameters.iter();
        let found = named.find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value)
    }

    /// Changes a parameter; capitals do not matter.
    ///
    /// # Errors
    /// [`ClassicalError`] for a name that it does not have, or a number beyond single precision.
    pub fn set(&mut self, name: &str, value: f64) -> Result<(), ClassicalError> {
        let system = self.name();
        let known = self.parameters.iter().map(|(known, _)| *known);
        let known = known.collect::<Vec<_>>().join(", ");
        let mut named = self.parameters.iter_mut();
        let Some((_, place)) = named.find(|(known, _)| known.eq_ignore_ascii_case(name)) else {
            return Err(ClassicalError::Parameter {
                system,
                found: name.into(),
                known: if known.is_empty() {
                    "none".into()
                } else {
                    known
                },
            });
        };
        if !(value as f32).is_finite() {
            return Err(ClassicalError::Value {
                system,
                setting: name.into(),
                expected: "a finite number",
                found: value,
            });
        }
        self.changed |= *place != value;
        *place = value;
        Ok(())
    }

    /// Changes the step size of a flow.
    ///
    /// # Errors
    /// [`ClassicalError::Value`] for a map, zero, or a number that is not of single precision.
    pub fn set_step(&mut self, size: f64) -> Result<(), ClassicalError> {
        let system = self.name();
        let refuse = |expected| {
            Err(ClassicalError::Value {
                system,
                setting: "step size".into(),
                expected,
                found: size,
            })
        };
        match &mut self.motion {
            Motion::Map => refuse("none, since it is a map"),
            Motion::Flow { .. } if !(size as f32).is_normal() => refuse("a number, not 0"),
            Motion::Flow { step, .. } => {
                *step = size;
                Ok(())
            }
        }
    }

    /// Units of time of one step: its size, or 1.
    pub fn step_time(&self) -> f64 {
        match self.motion {
            Motion::Map => 1.0,
            Motion::Flow { step, .. } => step,
        }
    }

    /// The parameters that the kernel takes, in its order.
    pub fn kernel_parameters(&self) -> Vec<f64> {
        let count = self.dynamics.parameters().len();
        let values = self.parameters.iter().map(|(_, value)| *value);
        values.take(count).collect()
    }

    /// Angular frequency of the field's own time, in radians in a unit of time; 0 without one.
    pub fn angular_frequency(&self) -> f64 {
        self.parameter("omega").unwrap_or(0.0)
    }

    /// Part of the plane that a system of two numbers is usually looked at in: left and right edge, lower
    /// and upper edge.
    pub fn domain(&self) -> Option<[f64; 4]> {
        self.facts.domain
    }

    /// What the literature says, unless a parameter was changed.
    pub fn literature(&self) -> Option<Literature> {
        let given = !self.facts.literature.exponents.is_empty() && !self.changed;
        given.then_some(self.facts.literature)
    }

    /// Sum of all exponents, where it is the same for every orbit: the mean logarithm of the determinant
    /// of a map's Jacobian, or the divergence of a field (a Runge-Kutta step has it up to its error).
    pub fn exponent_sum(&self) -> Option<f64> {
        let divergence = self.facts.divergence?;
        Some(divergence(&self.kernel_parameters()))
    }

    /// `count` initial states, `[count, dimension]`: the usual one, then others around it that hang on
    /// `seed` and their number alone.
    pub fn starts(&self, count: usize, seed: u64) -> Vec<f64> {
        let mut states = Vec::with_capacity(count.saturating_mul(self.dimension()));
        for example in 0..count {
            let words = philox4x32(
                [example as u32, (example as u64 >> 32) as u32, 0, 0],
                [seed as u32, (seed >> 32) as u32],
            );
            for (usual, word) in self.start.iter().zip(words) {
                let share = f64::from(word) / f64::from(u32::MAX) * 2.0 - 1.0;
                let moved = usual + self.facts.spread * share;
                states.push(if example == 0 { *usual } else { moved });
            }
        }
        states
    }
}
