//! Views of a velocity field, as data.

use super::FlowReportError;
use serde::{Deserialize, Serialize};

/// The space that values are in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Space {
    /// Where the network works: merged, Gaussianized.
    Model,
    /// Where the actions are.
    Raw,
}

/// What a field does with noise under one condition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldView {
    /// The run.
    pub run: String,
    /// The condition, in words.
    pub condition: String,
    /// The slot that is looked at.
    pub slot: usize,
    /// The space of all values.
    pub space: Space,
    /// The true steering at the slot.
    pub truth: Option<f32>,
    /// Flow times of the states, ascending.
    pub times: Vec<f32>,
    /// Steering at the slot: one list a draw, one value a time.
    pub paths: Vec<Vec<f32>>,
    /// The velocity under the paths.
    pub background: Option<HeatMap>,
    /// The velocity in the plane of steering and longitudinal, at some times.
    pub quivers: Vec<Quiver>,
}

impl FieldView {
    /// Checks that every path has a value at every time.
    ///
    /// # Errors
    /// [`FlowReportError::Field`].
    pub fn check(&self) -> Result<(), FlowReportError> {
        check_ascending("times", &self.times)?;
        let count = self.times.len();
        let mut lengths = self.paths.iter().map(Vec::len);
        lengths
            .find(|length| *length != count)
            .map_or(Ok(()), |found| {
                Err(wrong("path", format!("{count} values"), found))
            })
    }
}

fn wrong(what: &'static str, expected: String, found: impl ToString) -> FlowReportError {
    FlowReportError::Field {
        what,
        expected,
        found: found.to_string(),
    }
}

fn check_ascending(what: &'static str, values: &[f32]) -> Result<(), FlowReportError> {
    let rising = values.iter().zip(values.iter().skip(1)).all(|(a, b)| a < b);
    if values.len() >= 2 && rising && values.iter().all(|value| value.is_finite()) {
        return Ok(());
    }
    Err(wrong(
        what,
        "at least 2 finite ascending values".into(),
        format!("{values:?}"),
    ))
}

fn check_count(what: &'static str, expected: usize, found: usize) -> Result<(), FlowReportError> {
    if expected == found {
        return Ok(());
    }
    Err(wrong(what, format!("{expected} values"), found))
}

/// The velocity of one entry of a chunk over time and its own value, all other entries held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawHeatMap")]
pub struct HeatMap {
    times: Vec<f32>,
    steering: Vec<f32>,
    velocity: Vec<f32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawHeatMap {
    times: Vec<f32>,
    steering: Vec<f32>,
    velocity: Vec<f32>,
}

impl TryFrom<RawHeatMap> for HeatMap {
    type Error = FlowReportError;

    fn try_from(raw: RawHeatMap) -> Result<Self, FlowReportError> {
        Self::new(raw.times, raw.steering, raw.velocity)
    }
}

impl HeatMap {
    /// The steering component of the velocity, `[times, steering]`, time by time.
    ///
    /// # Errors
    /// [`FlowReportError::Field`] for axes that do not ascend and for another number of velocities.
    pub fn new(
        times: Vec<f32>,
        steering: Vec<f32>,
        velocity: Vec<f32>,
    ) -> Result<Self, FlowReportError> {
        check_ascending("background times", &times)?;
        check_ascending("background steering", &steering)?;
        let count = times.len().saturating_mul(steering.len());
        check_count("background velocity", count, velocity.len())?;
        Ok(Self {
            times,
            steering,
            velocity,
        })
    }

    /// Flow times.
    pub fn times(&self) -> &[f32] {
        &self.times
    }

    /// Values of the entry.
    pub fn steering(&self) -> &[f32] {
        &self.steering
    }

    /// Velocities, time by time.
    pub fn velocity(&self) -> &[f32] {
        &self.velocity
    }
}

/// The velocity in the plane of steering and longitudinal at one time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "RawQuiver")]
pub struct Quiver {
    time: f32,
    steering: Vec<f32>,
    longitudinal: Vec<f32>,
    velocity: Vec<[f32; 2]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawQuiver {
    time: f32,
    steering: Vec<f32>,
    longitudinal: Vec<f32>,
    velocity: Vec<[f32; 2]>,
}

impl TryFrom<RawQuiver> for Quiver {
    type Error = FlowReportError;

    fn try_from(raw: RawQuiver) -> Result<Self, FlowReportError> {
        Self::new(raw.time, raw.steering, raw.longitudinal, raw.velocity)
    }
}

impl Quiver {
    /// Velocities (steering, longitudinal) over a grid, `[longitudinal, steering]`, row by row.
    ///
    /// # Errors
    /// [`FlowReportError::Field`] for axes that do not ascend and for another number of velocities.
    pub fn new(
        time: f32,
        steering: Vec<f32>,
        longitudinal: Vec<f32>,
        velocity: Vec<[f32; 2]>,
    ) -> Result<Self, FlowReportError> {
        check_ascending("quiver steering", &steering)?;
        check_ascending("quiver longitudinal", &longitudinal)?;
        let count = steering.len().saturating_mul(longitudinal.len());
        check_count("quiver velocity", count, velocity.len())?;
        Ok(Self {
            time,
            steering,
            longitudinal,
            velocity,
        })
    }

    /// Flow time.
    pub fn time(&self) -> f32 {
        self.time
    }

    /// Steering of the grid.
    pub fn steering(&self) -> &[f32] {
        &self.steering
    }

    /// Longitudinal of the grid.
    pub fn longitudinal(&self) -> &[f32] {
        &self.longitudinal
    }

    /// Velocities, row by row.
    pub fn velocity(&self) -> &[[f32; 2]] {
        &self.velocity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_that_do_not_fit_are_named() {
        let axis = || vec![0.0, 0.5, 1.0];
        assert!(HeatMap::new(axis(), vec![-1.0, 1.0], vec![0.0; 6]).is_ok());
        let error = HeatMap::new(axis(), vec![-1.0, 1.0], vec![0.0; 5]).unwrap_err();
        assert!(
            error.to_string().contains("expected 6 values, found 5"),
            "{error}"
        );
        let error = HeatMap::new(vec![0.5, 0.5], axis(), vec![0.0; 6]).unwrap_err();
        assert!(error.to_string().contains("background times"), "{error}");
        let error = Quiver::new(0.1, axis(), vec![f32::NAN, 1.0], vec![[0.0; 2]; 6]).unwrap_err();
        assert!(error.to_string().contains("quiver longitudinal"), "{error}");
        let parsed: Result<Quiver, _> = serde_json::from_str(
            r#"{"time":0.1,"steering":[0,1],"longitudinal":[0,1],"velocity":[[0,0]]}"#,
        );
        assert!(
            parsed
                .unwrap_err()
                .to_string()
                .contains("expected 4 values")
        );
    }
}
