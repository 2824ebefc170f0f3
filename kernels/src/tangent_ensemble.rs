//! Many trajectories of one small map or flow with tangent vectors beside them, re-orthonormalised on the
//! way, all in registers.

mod blocks;
mod formulas;
mod ledger;
mod orthonormalise;
mod systems;
#[cfg(test)]
mod tests;
mod twin;
mod watch;

pub use systems::DynamicalSystem;
pub use twin::Propagate;

use crate::addressing::{distinct, reach, require_finite, require_positive};
use crate::ode_ensemble::{OdeEnsemble, OdeMethod, fraction};
use crate::{
    Access, Capabilities, Cost, Element, Kernel, KernelError, Launch, Operand, Operands, Real,
    element_count, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// Propagates the state x and k tangent vectors W of many trajectories: x <- F(x), W <- DF(x) W, where F
/// is a map or one Runge-Kutta step of a flow, and DF its exact derivative.
///
/// After every `reorthonormalise_every`-th step W = Q R (Gram and Schmidt's, every column projected twice;
/// diagonal of R positive), W becomes Q, and the natural logarithms of R's diagonal are summed (Benettin,
/// Galgani, Giorgilli, Strelcyn 1980). A column of which rounding left nothing counts its logarithm, at
/// least ln 1e-30, is replaced by the axis furthest from the columns before, and is reported.
///
/// Operands:
/// - `state` in place: component d of trajectory i at `i example_stride + d component_stride`, so
///   `[trajectories, dimension]` as well as `[dimension, trajectories]`;
/// - `parameters` `[parameters]` for all, or `[parameters, trajectories]` with [`TangentEnsemble::EACH`];
/// - `tangent` in place: tangent j of the state lies `j tangent_stride` further on;
/// - `sums` `[4, tangents, trajectories]` in place, zero at first: the sum of the logarithms and what
///   rounding has left out of it, then both of the record that is being made;
/// - `log_history` `[records, tangents, trajectories]`: sums over `record_every` orthonormalisations each;
/// - `state_history` `[total_steps / state_every, dimension, trajectories]`: the state after every
///   `state_every`-th step;
/// - `status` words `[3, trajectories]` in place, zero at first: columns replaced; the number, counted
///   from one, of the first step after which a number was infinite or NaN, whose trajectory is left out
///   of the sums from there on; for systems of one number the step after which an orbit was found back
///   where it had been before in this launch: in single precision chaos can end in a short cycle.
///
/// The first `transient` steps move the state alone. Of the orthonormalisations after them the first
/// `discarded` are not summed.
///
/// Cut into launches anywhere, a run gives the same bits; launch i of an orbit does the steps from
/// `i steps` on, up to `total_steps`. Time is a clock as in [`crate::ode_ensemble::OdeEnsemble`].
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct TangentEnsemble {
    /// Trajectories.
    pub trajectories: u32,
    /// System.
    pub system: DynamicalSystem,
    /// Method of a flow: Euler's, the midpoint rule, Heun's or the classic one.
    pub method: OdeMethod,
    /// Tangent vectors k, at most the dimension; 0 for the state alone.
    pub tangents: u32,
    /// [`TangentEnsemble::EACH`], [`TangentEnsemble::KEEP_STATE`] or 0.
    pub flags: u32,
    /// Steps of one launch.
    pub steps: u32,
    /// Steps done by the launches before.
    pub first_step: u32,
    /// Steps in all.
    pub total_steps: u32,
    /// Steps at the start that leave the tangents alone.
    pub transient: u32,
    /// Steps between two orthonormalisations; 0 for none.
    pub reorthonormalise_every: u32,
    /// Orthonormalisations at the start that are not summed.
    pub discarded: u32,
    /// Orthonormalisations of one record; 0 for no `log_history`.
    pub record_every: u32,
    /// Steps between two recorded states; 0 for no `state_history`.
    pub state_every: u32,
    /// Elements between trajectories.
    pub example_stride: u32,
    /// Elements between components.
    pub component_stride: u32,
    /// Elements between tangents.
    pub tangent_stride: u32,
    /// Step size of a flow in single precision
    pub step: f32,
    /// and in double precision: the upper bits of that number
    pub step_bits_high: u32,
    /// and the lower ones.
    pub step_bits_low: u32,
    /// Turns of the clock in one step in single precision, whole ones included.
    pub turns: f32,
    /// Turns of the clock in one step, in units of 2^-32, whole turns dropped
    pub turns_high: u32,
    /// and in units of 2^-64.
    pub turns_low: u32,
    /// Clock at the start, in units of 2^-32
    pub phase_high: u32,
    /// and of 2^-64.
    pub phase_low: u32,
}

/// A clock in turns from 0 to 1.
fn fraction_of(clock: u64) -> f64 {
    clock as f64 / 18_446_744_073_709_551_616.0
}

impl TangentEnsemble {
    /// Flag: every trajectory has parameters of its own.
    pub const EACH: u32 = 1;
    /// Flag: the state is only read; the tangents alone are moved.
    pub const KEEP_STATE: u32 = 2;

    /// `steps` steps of a map in one launch with `tangents` tangents, orthonormalised after every step;
    /// no history; state and tangents laid out as `[dimension, trajectories]`.
    pub fn of_map(system: DynamicalSystem, trajectories: u32, tangents: u32, steps: u32) -> Self {
        Self {
            trajectories,
            system,
            tangents,
            steps,
            total_steps: steps,
            reorthonormalise_every: u32::from(tangents > 0),
            example_stride: 1,
            component_stride: trajectories,
            tangent_stride: system.dimension().saturating_mul(trajectories),
            ..Self::zeroed()
        }
    }

    /// The same of a flow under steps of size `step`.
    pub fn of_flow(
        system: DynamicalSystem,
        method: OdeMethod,
        (trajectories, tangents): (u32, u32),
        step: f64,
        steps: u32,
    ) -> Self {
        let bits = step.to_bits();
        Self {
            method,
            step: step as f32,
            step_bits_high: (bits >> 32) as u32,
            step_bits_low: bits as u32,
            ..Self::of_map(system, trajectories, tangents, steps)
        }
    }

    /// The tangents of what an ensemble of fixed steps does in a launch: they are moved from the state before
    /// it, which is only read. For fields and methods that are not here there are none.
    pub fn of_ode(primal: &OdeEnsemble, tangents: u32) -> Option<Self> {
        let system = DynamicalSystem::of_field(primal.field)?;
        let (count, size) = (primal.trajectories, primal.step());
        let rate = f64::from(primal.rate_high) + f64::from(primal.rate_low);
        let kernel = Self {
            flags: Self::KEEP_STATE | primal.flags & OdeEnsemble::EACH,
            steps: primal.steps,
            first_step: primal.first_step,
            reorthonormalise_every: 0,
            turns: (rate * size) as f32,
            turns_high: primal.turns_high,
            turns_low: primal.turns_low,
            phase_high: primal.phase_high,
            phase_low: primal.phase_low,
            ..Self::of_flow(
                system,
                primal.method,
                (count, tangents),
                size,
                primal.total_steps,
            )
        };
        kernel.check_method().ok().map(|()| kernel)
    }

    /// The same with states and tangents laid out example after example: `[trajectories, dimension]`.
    #[must_use]
    pub fn by_example(self) -> Self {
        Self {
            example_stride: self.system.dimension(),
            component_stride: 1,
            ..self
        }
    }

    /// The same with a clock of `rate` turns in a unit of time that shows `rate start` at first.
    #[must_use]
    pub fn with_clock(mut self, rate: f64, start: f64) -> Self {
        let turns = rate * self.step_size();
        self.turns = turns as f32;
        let turns = fraction(turns);
        (self.turns_high, self.turns_low) = ((turns >> 32) as u32, turns as u32);
        let phase = fraction(rate * start);
        (self.phase_high, self.phase_low) = ((phase >> 32) as u32, phase as u32);
        self
    }

    /// Step size in double precision.
    pub fn step_size(&self) -> f64 {
        f64::from_bits(u64::from(self.step_bits_high) << 32 | u64::from(self.step_bits_low))
    }

    /// Clock in the middle of a step, less that at its start, in units of 2^-64 turns: half of it all, and
    /// half a turn less where an odd number of whole turns was dropped.
    fn half_turns(&self) -> u64 {
        let turns = u64::from(self.turns_high) << 32 | u64::from(self.turns_low);
        let whole = (f64::from(self.turns) - fraction_of(turns)).round();
        let odd = whole.rem_euclid(2.0) >= 1.0;
        (turns >> 1).wrapping_add(u64::from(odd) << 63)
    }

    /// Clock at the start of a step.
    fn clock(&self, step: u32) -> u64 {
        let word = |high: u32, low: u32| u64::from(high) << 32 | u64::from(low);
        let turns = word(self.turns_high, self.turns_low);
        word(self.phase_high, self.phase_low).wrapping_add(turns.wrapping_mul(u64::from(step)))
    }

    /// Steps of this launch.
    fn count(&self) -> u32 {
        let left = self.total_steps.saturating_sub(self.first_step);
        self.steps.min(left)
    }

    /// Orthonormalisations that are summed in the first `steps` steps.
    fn summed(&self, steps: u32) -> u32 {
        let moved = steps.saturating_sub(self.transient);
        let all = moved.checked_div(self.reorthonormalise_every).unwrap_or(0);
        all.saturating_sub(self.discarded)
    }

    /// Orthonormalisations that are summed in all: what the sums are to be divided by for a mean.
    pub fn orthonormalisations(&self) -> u32 {
        self.summed(self.total_steps)
    }

    /// Records of logarithms after the first `steps` steps.
    fn log_records(&self, steps: u32) -> u32 {
        let records = self.summed(steps).checked_div(self.record_every);
        records.unwrap_or(0)
    }

    /// Records of logarithms in all.
    pub fn records(&self) -> u32 {
        self.log_records(self.total_steps)
    }

    /// Recorded states in all.
    pub fn states(&self) -> u32 {
        self.total_steps.checked_div(self.state_every).unwrap_or(0)
    }

    fn has_each(&self) -> bool {
        self.flags & Self::EACH != 0
    }

    fn keeps_state(&self) -> bool {
        self.flags & Self::KEEP_STATE != 0
    }

    fn parameter_count(&self) -> u32 {
        let each = if self.has_each() {
            self.trajectories
        } else {
            1
        };
        let names = self.system.parameters().len() as u32;
        names.saturating_mul(each)
    }

    fn layout(&self) -> [(u32, u32); 2] {
        [
            (self.trajectories, self.example_stride),
            (self.system.dimension(), self.component_stride),
        ]
    }

    fn check_method(&self) -> Result<(), KernelError> {
        let fixed = [
            OdeMethod::EULER,
            OdeMethod::MIDPOINT,
            OdeMethod::HEUN,
            OdeMethod::RK4,
        ];
        if self.system.is_flow() && !fixed.contains(&self.method) {
            return Err(KernelError::parameter(
                Self::NAME,
                "method",
                "euler, midpoint, heun or rk4",
                self.method.name(),
            ));
        }
        require_finite(Self::NAME, "step", self.step)?;
        require_finite(Self::NAME, "turns", self.turns)?;
        let size = self.step_size();
        if self.system.is_flow() && (!self.step.is_normal() || size as f32 != self.step) {
            let expected = "not 0, and the same in both precisions";
            let found = format!("{} and {size}", self.step);
            return Err(KernelError::parameter(Self::NAME, "step", expected, found));
        }
        Ok(())
    }

    fn check_layout(&self) -> Result<(), KernelError> {
        let [examples, components] = self.layout();
        if !distinct(&[examples, components, (self.tangents, self.tangent_stride)]) {
            return Err(KernelError::parameter(
                Self::NAME,
                "tangent_stride",
                "strides that meet no element twice",
                format!("{} and {:?}", self.tangent_stride, self.layout()),
            ));
        }
        // The shader's indices are words.
        let largest = self.extents().into_iter().max().unwrap_or(0);
        if largest > u32::MAX as usize {
            let expected = "at most 2^32 - 1 elements an operand";
            return Err(KernelError::parameter(
                Self::NAME,
                "trajectories",
                expected,
                self.trajectories,
            ));
        }
        Ok(())
    }
}

impl Kernel for TangentEnsemble {
    const NAME: &'static str = "tangent_ensemble";
    const SHADER: &'static str = include_str!("../../shaders/tangent_ensemble.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = DynamicalSystem::ENTRY_POINTS;
    const OPERANDS: &'static [Operand] = &[
        Operand::output("state").in_place(),
        Operand::input("parameters").optional(),
        Operand::output("tangent").in_place().optional(),
        Operand::output("sums").in_place().optional(),
        Operand::output("log_history").optional(),
        Operand::output("state_history").optional(),
        Operand::new("status", Element::Word, Access::ReadWrite),
    ];

    fn check(&self) -> Result<(), KernelError> {
        self.system.check(Self::NAME)?;
        let counts = [
            ("trajectories", self.trajectories),
            ("steps", self.steps),
            ("total_steps", self.total_steps),
        ];
        require_positive(Self::NAME, &counts)?;
        self.check_method()?;
        let refuse = |name, expected: &str, found: u32| {
            Err(KernelError::parameter(Self::NAME, name, expected, found))
        };
        if self.tangents > self.system.dimension() {
            let expected = format!("at most the dimension {}", self.system.dimension());
            return refuse("tangents", &expected, self.tangents);
        }
        if self.flags & !(Self::EACH | Self::KEEP_STATE) != 0 {
            return refuse("flags", "no others than EACH and KEEP_STATE", self.flags);
        }
        if self.reorthonormalise_every > 0 && self.tangents == 0 {
            return refuse("tangents", "at least 1 to orthonormalise", 0);
        }
        if self.record_every > 0 && self.reorthonormalise_every == 0 {
            return refuse(
                "record_every",
                "0 without orthonormalisation",
                self.record_every,
            );
        }
        self.check_layout()
    }

    fn extents(&self) -> Vec<usize> {
        let dimension = self.system.dimension();
        let [examples, components] = self.layout();
        let orthonormal = if self.reorthonormalise_every > 0 {
            4
        } else {
            0
        };
        vec![
            reach(0, &[examples, components]),
            self.parameter_count() as usize,
            match self.tangents {
                0 => 0,
                tangents => reach(0, &[examples, components, (tangents, self.tangent_stride)]),
            },
            element_count(&[orthonormal, self.tangents, self.trajectories]),
            element_count(&[self.records(), self.tangents, self.trajectories]),
            element_count(&[self.states(), dimension, self.trajectories]),
            element_count(&[3, self.trajectories]),
        ]
    }

    /// The operations as they are executed; a logarithm counts 20.
    fn cost(&self) -> Cost {
        let [dimension, k] = [self.system.dimension(), self.tangents].map(u64::from);
        let trajectories = u64::from(self.trajectories);
        let [evaluate, jacobian] = self.system.flops();
        let (stages, sums) = match (self.system.is_flow(), self.method) {
            (false, _) => (1, 0),
            (true, OdeMethod::EULER) => (1, 2),
            (true, OdeMethod::MIDPOINT) => (2, 4),
            (true, OdeMethod::HEUN) => (2, 5),
            (true, _) => (4, 13),
        };
        let state = stages * evaluate + sums * dimension;
        let product = 2 * dimension * dimension;
        let tangent = match k {
            0 => 0,
            _ => stages * jacobian + k * (stages * product + sums * dimension),
        };
        // Two projections on every column before, two norms, the division, the logarithm, two sums.
        let orthonormal = k * (k.saturating_sub(1)) * 4 * dimension + k * (7 * dimension + 36);
        let end = self.first_step.saturating_add(self.count());
        let start = self.first_step.min(end);
        let moved = |steps: u32| u64::from(steps.saturating_sub(self.transient));
        let orthonormalised =
            |steps: u32| moved(steps).checked_div(u64::from(self.reorthonormalise_every));
        let qr = orthonormalised(end).unwrap_or(0) - orthonormalised(start).unwrap_or(0);
        let flops = (u64::from(self.count()).saturating_mul(state))
            .saturating_add((moved(end) - moved(start)).saturating_mul(tangent))
            .saturating_add(qr.saturating_mul(orthonormal));
        let states = |steps: u32| u64::from(steps.checked_div(self.state_every).unwrap_or(0));
        let records = u64::from(self.log_records(end) - self.log_records(start)) * k;
        let recorded = (states(end) - states(start)) * dimension + records;
        let elements = (2 * dimension * (1 + k) + 8 * k + 6 + recorded)
            .saturating_mul(trajectories)
            .saturating_add(u64::from(self.parameter_count()));
        Cost {
            flops: flops.saturating_mul(trajectories),
            bytes: elements.saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        let all = DynamicalSystem::ALL.iter().position(|s| *s == self.system);
        let named = all.and_then(|at| Self::ENTRY_POINTS.get(at));
        Launch {
            entry_point: named.copied().unwrap_or("lorenz63"),
            workgroups: linear_workgroups(self.trajectories as usize, 64),
        }
    }

    fn software_iterations(&self) -> u64 {
        u64::from(self.steps.min(self.total_steps)) + 64
    }

    fn at_step(&self, step: u32) -> Self {
        Self {
            first_step: step.saturating_mul(self.steps),
            ..*self
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        T::propagate(self, operands)
    }
}
