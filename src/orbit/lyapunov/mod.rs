//! Tangents carried along an orbit and re-orthonormalised by QR on the device: the logarithms of the
//! diagonals of R, whose means are the finite-time Lyapunov exponents (Benettin, Galgani, Giorgilli,
//! Strelcyn, "Lyapunov characteristic exponents for smooth dynamical systems", Meccanica 15, 1980).

mod build;
mod error;
mod run;

pub use error::LyapunovError;
pub use run::{Factors, Invalid, Spectrum};

use super::{IteratedMap, Orbit};
use crate::device::Device;
use crate::graph::{Plan, TensorId};

/// Where the tangents begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Orthonormalised normal vectors, keyed by seed and example.
    Random,
    /// Given by the caller, see [`LyapunovOrbit::set_tangents`].
    Given,
}

/// How the tangents of a map are followed.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tangent vectors of an example, k, from 1 to the dimension of the state.
    pub columns: usize,
    /// Which updates of a step are followed by a QR: indices into [`IteratedMap::updates`], ascending;
    /// none for the plain derivative.
    pub points: Vec<usize>,
    /// Steps between QRs; above 1 only with a single point.
    pub every: u32,
    /// First tangents.
    pub start: Start,
    /// Whether Q and R of every QR are kept, as covariant vectors need them.
    pub factors: bool,
}

impl Settings {
    /// One QR after every step, from random tangents.
    pub fn by_step(map: &IteratedMap, columns: usize) -> Self {
        Self {
            columns,
            points: vec![map.updates.len().saturating_sub(1)],
            every: 1,
            start: Start::Random,
            factors: false,
        }
    }

    /// One QR after every update of every step, from random tangents.
    pub fn by_update(map: &IteratedMap, columns: usize) -> Self {
        Self {
            points: (0..map.updates.len()).collect(),
            ..Self::by_step(map, columns)
        }
    }
}

/// A map with its tangents, compiled for a device. Cheap to clone; orbits share its constants.
#[derive(Debug, Clone)]
pub struct LyapunovPlan {
    plan: Plan,
    settings: Settings,
    batch: usize,
    dimension: usize,
    /// Steps whose logarithms fit the device's record.
    window: u32,
    tensors: Tensors,
    /// Nodes of the QRs, and those that record what they gave.
    events: Vec<usize>,
    /// Labels of the updates that the points stand after.
    labels: Vec<String>,
}

/// What the nodes added to the map read and write.
#[derive(Debug, Clone, Copy)]
struct Tensors {
    /// `[k, batch, dimension]`.
    tangents: TensorId,
    /// `[window, points, batch, k]`.
    logs: TensorId,
    /// `[batch, 2]`: restarts, flags.
    status: TensorId,
    /// `[window, points, batch, k, k]`, if kept.
    r: Option<TensorId>,
    /// `[window, points, k, batch, dimension]`, if kept.
    q: Option<TensorId>,
}

impl LyapunovPlan {
    /// Adds tangents and QR to a map and compiles it. Nodes of the map behind its last update, such as
    /// readouts, run after the last QR of a step and have no tangents.
    ///
    /// # Errors
    /// [`LyapunovError`]: settings that do not fit the map, a node without a tangent, limits of the
    /// device.
    pub fn compile(
        map: &IteratedMap,
        settings: &Settings,
        device: &Device,
    ) -> Result<Self, LyapunovError> {
        build::check(map, settings)?;
        let built = build::build(map, settings)?;
        let plan = Plan::compile(built.graph, device)?;
        let nodes = plan.graph().nodes().iter().enumerate();
        let events = nodes
            .filter(|(_, node)| node.label.starts_with(build::EVENT))
            .map(|(index, _)| index)
            .collect();
        Ok(Self {
            plan,
            settings: settings.clone(),
            batch: map.batch,
            dimension: map.dimension,
            window: built.window,
            tensors: built.tensors,
            events,
            labels: built.labels,
        })
    }

    /// The graph, its memory and its costs: what a run takes, whatever its steps.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// QRs of one example in so many steps.
    pub fn events(&self, steps: u32) -> usize {
        (steps / self.settings.every) as usize * self.settings.points.len()
    }

    /// Allocates the working memory of one run.
    ///
    /// # Errors
    /// [`LyapunovError::Graph`] when memory or a pipeline cannot be had.
    pub fn orbit(&self) -> Result<LyapunovOrbit, LyapunovError> {
        Ok(LyapunovOrbit {
            orbit: Orbit::new(&self.plan)?,
            plan: self.clone(),
        })
    }
}

/// The working memory of one run of a [`LyapunovPlan`].
#[derive(Debug)]
pub struct LyapunovOrbit {
    /// The orbit; inputs of the map are written and its outputs read here, under the ids of the map's
    /// own graph.
    pub orbit: Orbit,
    plan: LyapunovPlan,
}

impl LyapunovOrbit {
    /// Sets the first tangents of [`Start::Given`]: `[batch, dimension, k]`, columns orthonormal.
    ///
    /// # Errors
    /// [`LyapunovError::Tangents`] on a wrong count or numbers that are not finite.
    pub fn set_tangents(&mut self, q: &[f64]) -> Result<(), LyapunovError> {
        let (batch, n, k) = self.sizes();
        let expected = batch * n * k;
        if q.len() != expected || q.iter().any(|value| !value.is_finite()) {
            let finite = q.iter().filter(|value| value.is_finite()).count();
            return Err(LyapunovError::Tangents {
                expected: format!("{expected} finite numbers, [{batch}, {n}, {k}]"),
                found: format!("{} numbers, {finite} of them finite", q.len()),
            });
        }
        let mut columns = vec![0.0; expected];
        for (row, values) in q.chunks_exact(k).enumerate() {
            for (j, &value) in values.iter().enumerate() {
                columns[j * batch * n + row] = value;
            }
        }
        let tangents = self.plan.tensors.tangents;
        self.orbit.execution.write_f64(tangents, &columns)?;
        Ok(())
    }

    /// The tangents after a run, `[batch, dimension, k]`, columns orthonormal.
    ///
    /// # Errors
    /// [`LyapunovError::Graph`] if the device is lost.
    pub fn tangents(&self) -> Result<Vec<f64>, LyapunovError> {
        let columns = self.orbit.execution.read_f64(self.plan.tensors.tangents)?;
        Ok(run::by_example(&columns, self.sizes()))
    }

    /// Batch, dimension, k.
    fn sizes(&self) -> (usize, usize, usize) {
        let plan = &self.plan;
        (plan.batch, plan.dimension, plan.settings.columns)
    }
}
