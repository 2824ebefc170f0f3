//! Lorenz's model of a latitude circle.

use super::{MapError, check_size, finished, state};
use crate::graph::layers::size;
use crate::graph::{Graph, TensorId, TensorKind};
use crate::models::field::{Evaluation, StepSize, Time, Times, VelocityField, runge_kutta_step};
use crate::orbit::IteratedMap;
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::runge_kutta::RK4;

const NAME: &str = "Lorenz-96";

/// `dx_i/dt = (x_{i+1} - x_{i-2}) x_{i-1} - x_i + F` on a circle (Lorenz, "Predictability: a problem
/// partly solved", 1996), by classical Runge-Kutta steps.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Lorenz96 {
    /// Numbers on the circle, at least 4.
    pub sites: usize,
    /// F; 8 is chaotic.
    pub forcing: f64,
    /// Time of one step; 0.05 is Lorenz's, six hours.
    pub step: f64,
}

impl Lorenz96 {
    /// `count` states by the unstable equilibrium `x_i = F`, each with another site moved by 0.01 and
    /// one number after the other, `[count, sites]`.
    pub fn start(&self, count: usize) -> Vec<f64> {
        let mut states = vec![self.forcing; count.saturating_mul(self.sites)];
        for (example, state) in states.chunks_mut(self.sites.max(1)).enumerate() {
            let place = example % self.sites.max(1);
            if let Some(site) = state.get_mut(place) {
                *site += 0.01 * (1 + example / self.sites.max(1)) as f64;
            }
        }
        states
    }

    /// One Runge-Kutta step over `batch` examples.
    ///
    /// # Errors
    /// [`MapError`] for fewer than 4 sites, a forcing that is not finite, a step that is not positive or
    /// not a ratio of words, or an empty batch.
    pub fn map(&self, batch: usize) -> Result<IteratedMap, MapError> {
        if self.sites < 4 {
            return Err(MapError::new(NAME, "sites", "at least 4", self.sites));
        }
        if !self.forcing.is_finite() {
            return Err(MapError::new(NAME, "forcing", "finite", self.forcing));
        }
        let step = StepSize::nearest(self.step, &RK4).ok_or_else(|| {
            let expected = "a positive number, no finer than 1/4294967295";
            MapError::new(NAME, "step", expected, self.step)
        })?;
        // The stages' velocities and the wrapped states are the largest tensors.
        check_size(NAME, batch, self.sites.saturating_mul(RK4.nodes.len()))?;
        let mut graph = Graph::new();
        let x = state(&mut graph, batch, self.sites);
        let forcing = graph.constant_f64("F", &[1], vec![self.forcing]);
        let mut field = Circle {
            batch,
            sites: self.sites,
            forcing,
        };
        field.prepare(&mut graph, Times::Scheduled(0));
        runge_kutta_step(&mut graph, &mut field, x, &RK4, step, |_| Time::EntryOfRow);
        Ok(finished(graph, x, batch, self.sites))
    }
}

/// The field; it does not depend on time.
struct Circle {
    batch: usize,
    sites: usize,
    forcing: TensorId,
}

/// Sites repeated before the first.
const BEFORE: usize = 2;
/// Sites repeated after the last.
const AFTER: usize = 1;

impl Circle {
    /// A copy of `x` with its ends repeated, `[batch, BEFORE + sites + AFTER]`.
    fn wrapped(&self, graph: &mut Graph, at: &Evaluation<'_>) -> TensorId {
        let (batch, n) = (self.batch, self.sites);
        let width = BEFORE + n + AFTER;
        let name = format!("{}wrapped", at.label);
        let wrapped = graph.float(&name, &[batch, width], TensorKind::Intermediate);
        // (first site, sites, place among the wrapped ones)
        for (first, count, place) in [
            (n - BEFORE, BEFORE, 0),
            (0, n, BEFORE),
            (0, AFTER, BEFORE + n),
        ] {
            let copy = CopyFloats {
                src_offset: size(first),
                dst_offset: size(place),
                ..CopyFloats::strided(
                    [1, 1, size(batch), size(count)],
                    [0, 0, size(n), 1],
                    [0, 0, size(width), 1],
                )
            };
            let operands = [Some(at.x), Some(wrapped)];
            graph.push(at.phase, format!("{name}{place}"), copy, &operands);
        }
        wrapped
    }
}

impl VelocityField for Circle {
    fn rows(&self) -> usize {
        self.batch
    }

    fn width(&self) -> usize {
        self.sites
    }

    fn prepare(&mut self, _graph: &mut Graph, _times: Times) {}

    fn velocity(&mut self, graph: &mut Graph, at: &Evaluation<'_>) {
        let wrapped = self.wrapped(graph, at);
        let (batch, n) = (size(self.batch), size(self.sites));
        let wide = size(BEFORE + self.sites + AFTER);
        // Strides of rows of a state, of its wrapped copy, and of one number for all.
        let (narrow, wide, one) = ([0, 0, n, 1], [0, 0, wide, 1], [0, 0, 0, 0]);
        let over = |operation, a, b| Elementwise::broadcast(operation, [1, 1, batch, n], a, b);
        let mut node = |label: &str, kernel: Elementwise, a, b, out: Option<TensorId>| {
            let name = format!("{}{label}", at.label);
            let shape = [self.batch, self.sites];
            let new = || graph.float(&name, &shape, TensorKind::Intermediate);
            let out = out.unwrap_or_else(new);
            graph.push(at.phase, name, kernel, &[Some(a), Some(b), Some(out)]);
            out
        };
        let difference = Elementwise {
            a_offset: 3,
            ..over(Operation::SUBTRACT, wide, wide)
        };
        let difference = node("difference", difference, wrapped, wrapped, None);
        let advection = Elementwise {
            b_offset: 1,
            ..over(Operation::MULTIPLY, narrow, wide)
        };
        let advection = node("advection", advection, difference, wrapped, None);
        let damping = over(Operation::SUBTRACT, one, narrow);
        let damping = node("damping", damping, self.forcing, at.x, None);
        let sum = Elementwise {
            out_offset: size(at.out_offset),
            ..over(Operation::ADD, narrow, narrow)
        };
        node("velocity", sum, advection, damping, Some(at.out));
    }
}
