//! Laws of the flow time t in training. Time 0 is noise, time 1 is the action.

/// A law of t, as a map from one recorded random number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FlowTimeLaw {
    /// `t = u`, u uniform on 0 to 1.
    Uniform,
    /// `t = sigmoid(std z + mean)`, z standard normal (SiT, arXiv:2401.08740). A positive mean favours
    /// the action.
    LogitNormal {
        /// Mean of the logit.
        mean: f64,
        /// Standard deviation of the logit.
        std: f64,
    },
    /// `t = scale (1 - u^(1 / alpha))`, u uniform on 0 to 1 (pi0, arXiv:2410.24164). Favours noise.
    Beta {
        /// Exponent.
        alpha: f64,
        /// Largest time.
        scale: f64,
    },
}

/// Which random number a law maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlowTimeDraw {
    /// Uniform on 0 to 1.
    Uniform,
    /// Standard normal.
    Normal,
}

/// A parameter of a law outside its range.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("flow time, {parameter}: expected {expected}, found {found}")]
pub struct FlowTimeError {
    /// Name of the parameter.
    pub parameter: &'static str,
    /// Its range.
    pub expected: &'static str,
    /// The value given.
    pub found: f64,
}

impl Default for FlowTimeLaw {
    /// Logit-normal with mean 0 and standard deviation 1.
    fn default() -> Self {
        Self::LogitNormal {
            mean: 0.0,
            std: 1.0,
        }
    }
}

impl FlowTimeLaw {
    /// pi0's law: alpha 1.5, times up to 0.999.
    pub const PI0: Self = Self::Beta {
        alpha: 1.5,
        scale: 0.999,
    };

    /// Checks the parameters.
    ///
    /// # Errors
    /// [`FlowTimeError`] naming the first one out of range.
    pub fn check(&self) -> Result<(), FlowTimeError> {
        let require = |good: bool, parameter, expected, found| {
            let error = FlowTimeError {
                parameter,
                expected,
                found,
            };
            if good { Ok(()) } else { Err(error) }
        };
        match *self {
            Self::Uniform => Ok(()),
            Self::LogitNormal { mean, std } => {
                require(mean.is_finite(), "mean", "a finite number", mean)?;
                require(
                    std.is_finite() && std > 0.0,
                    "std",
                    "a finite number above 0",
                    std,
                )
            }
            Self::Beta { alpha, scale } => {
                let good = alpha.is_finite() && alpha > 0.0;
                require(good, "alpha", "a finite number above 0", alpha)?;
                require(
                    scale > 0.0 && scale <= 1.0,
                    "scale",
                    "above 0, at most 1",
                    scale,
                )
            }
        }
    }

    /// The random number that [`FlowTimeLaw::time`] maps.
    pub fn draw(&self) -> FlowTimeDraw {
        match self {
            Self::LogitNormal { .. } => FlowTimeDraw::Normal,
            Self::Uniform | Self::Beta { .. } => FlowTimeDraw::Uniform,
        }
    }

    /// The time that belongs to a random number of the kind [`FlowTimeLaw::draw`] says.
    pub fn time(&self, draw: f64) -> f64 {
        match *self {
            Self::Uniform => draw,
            Self::LogitNormal { mean, std } => 1.0 / (1.0 + (-(std * draw + mean)).exp()),
            Self::Beta { alpha, scale } => scale * (1.0 - draw.powf(1.0 / alpha)),
        }
    }
}
