//! Many trajectories of one small ordinary differential equation, integrated in registers.

mod adaptive;
pub(crate) mod fields;
mod methods;
#[cfg(test)]
mod tests;
mod twin;

pub use fields::OdeField;
pub use methods::OdeMethod;
pub use twin::Integrate;

use crate::addressing::{require_finite, require_positive};
use crate::{
    Access, Capabilities, Cost, Element, Kernel, KernelError, Launch, Operand, Operands, Real,
    element_count, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// What has become of a trajectory under [`OdeMethod::DORMAND_PRINCE54`]: the third row of `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OdeState;

impl OdeState {
    /// On its way.
    pub const RUNNING: u32 = 0;
    /// Arrived at the end of the time.
    pub const DONE: u32 = 1;
    /// Out of attempts.
    pub const EXHAUSTED: u32 = 2;
    /// The step size has shrunk below what moves the time.
    pub const STALLED: u32 = 3;
    /// On its way, the last attempt rejected.
    pub const REJECTED: u32 = 4;
}

/// Integrates `dx/dt = f(x; parameters, t)` for many trajectories at once: `steps` steps of a fixed size
/// `step`, or `steps` attempts of Dormand and Prince's pair 5(4) under step control.
///
/// Operands:
/// - `state` `[dimension, trajectories]` in place: number d of all trajectories in a row, so that
///   neighbouring invocations and lanes touch neighbouring elements;
/// - `parameters` `[parameters]` for all, or `[parameters, trajectories]` with [`OdeEnsemble::EACH`]; none
///   for a field without. They are an operand, not part of the block, so that double precision has
///   them in full;
/// - `history` `[total_steps / record_every, dimension, trajectories]`: the state after every
///   `record_every`-th step, none where that is 0;
/// - under step control `control` `[3, trajectories]` in place: time since the start, the rounding error
///   that the time has left out, size of the next step (0 takes `step`); and `status` words
///   `[3, trajectories]` in place: accepted and rejected attempts, [`OdeState`]. All zero at first.
///
/// Step n starts at time n `step`, counted from integers, and launch i of an orbit does the steps from
/// `i steps` on, up to `total_steps`: cut into launches anywhere, a run gives the same bits.
///
/// Fields that depend on time see a clock: the time in turns, reduced by whole turns. Under a fixed step
/// it is `phase + n turns`, exact in multiples of 2^-64; under step control `phase + time rate`.
///
/// Step control (Hairer, Norsett, Wanner, "Solving Ordinary Differential Equations I", II.4):
/// `err = sqrt(mean((e / (absolute + relative max(|x|, |x'|)))^2))`, accepted where at most 1; the step is
/// multiplied by `0.9 err^(-1/5)`, at least 0.2 and at most 5, at most 1 after a rejection; the last step
/// ends on `span` exactly.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct OdeEnsemble {
    /// Trajectories.
    pub trajectories: u32,
    /// Field.
    pub field: OdeField,
    /// Method.
    pub method: OdeMethod,
    /// [`OdeEnsemble::EACH`] or 0.
    pub flags: u32,
    /// Steps, or attempts, of one launch.
    pub steps: u32,
    /// Steps done by the launches before.
    pub first_step: u32,
    /// Steps, or attempts, in all.
    pub total_steps: u32,
    /// Steps between two records; 0 for no history, as step control must have it.
    pub record_every: u32,
    /// Step size, the first one under step control: its nearest single-precision number
    pub step_high: f32,
    /// and the rest, for double precision; so for `span` and `rate`.
    pub step_low: f32,
    /// Length of time under step control.
    pub span_high: f32,
    /// The rest of it.
    pub span_low: f32,
    /// Turns of the clock in a unit of time.
    pub rate_high: f32,
    /// The rest of them.
    pub rate_low: f32,
    /// Turns of the clock in one fixed step, in units of 2^-32, whole turns dropped
    pub turns_high: u32,
    /// and in units of 2^-64.
    pub turns_low: u32,
    /// Clock at the start, in units of 2^-32
    pub phase_high: u32,
    /// and of 2^-64.
    pub phase_low: u32,
    /// Tolerated error as a share of the state.
    pub relative_tolerance: f32,
    /// Tolerated error of a state near zero.
    pub absolute_tolerance: f32,
}

/// The nearest single-precision number and the rest.
fn split(value: f64) -> (f32, f32) {
    let high = value as f32;
    (high, (value - f64::from(high)) as f32)
}

/// Turns without the whole ones, in units of 2^-64.
pub(crate) fn fraction(turns: f64) -> u64 {
    let rest = turns - turns.floor();
    // Below one, so that this saturates at most by rounding up to a whole turn.
    (rest * 18_446_744_073_709_551_616.0) as u64
}

/// A clock as a number in [-1/2, 1/2).
pub(crate) fn clock_at<T: Real>(phase: u64) -> T {
    if size_of::<T>() == 4 {
        T::from_f64(f64::from((phase >> 32) as u32 as i32) / 4_294_967_296.0)
    } else {
        T::from_f64(phase as i64 as f64 / 18_446_744_073_709_551_616.0)
    }
}

impl OdeEnsemble {
    /// Flag: every trajectory has parameters of its own.
    pub const EACH: u32 = 1;
    /// Most attempts under step control: counts are kept as single-precision numbers.
    pub const MOST_ATTEMPTS: u32 = 1 << 24;

    /// `steps` steps of size `step` in one launch, parameters for all, no history, a clock that stands.
    pub fn fixed(
        field: OdeField,
        method: OdeMethod,
        trajectories: u32,
        step: f64,
        steps: u32,
    ) -> Self {
        let (step_high, step_low) = split(step);
        Self {
            trajectories,
            field,
            method,
            steps,
            total_steps: steps,
            step_high,
            step_low,
            ..Self::zeroed()
        }
    }

    /// Dormand and Prince's pair over `span` units of time, from a first step of size `step`, in at most
    /// `attempts` attempts, all of them in one launch.
    pub fn adaptive(
        field: OdeField,
        trajectories: u32,
        span: f64,
        step: f64,
        attempts: u32,
    ) -> Self {
        let (span_high, span_low) = split(span);
        Self {
            span_high,
            span_low,
            relative_tolerance: 1e-5,
            absolute_tolerance: 1e-6,
            ..Self::fixed(
                field,
                OdeMethod::DORMAND_PRINCE54,
                trajectories,
                step,
                attempts,
            )
        }
    }

    /// The same with a clock of `rate` turns in a unit of time that shows `rate start` at first.
    #[must_use]
    pub fn with_clock(mut self, rate: f64, start: f64) -> Self {
        (self.rate_high, self.rate_low) = split(rate);
        let turns = fraction(rate * self.step());
        (self.turns_high, self.turns_low) = ((turns >> 32) as u32, turns as u32);
        let phase = fraction(rate * start);
        (self.phase_high, self.phase_low) = ((phase >> 32) as u32, phase as u32);
        self
    }

    /// Step size in double precision.
    pub fn step(&self) -> f64 {
        f64::from(self.step_high) + f64::from(self.step_low)
    }

    fn span(&self) -> f64 {
        f64::from(self.span_high) + f64::from(self.span_low)
    }

    fn rate(&self) -> f64 {
        f64::from(self.rate_high) + f64::from(self.rate_low)
    }

    fn phase(&self) -> u64 {
        u64::from(self.phase_high) << 32 | u64::from(self.phase_low)
    }

    /// Clock at the start of a step.
    fn clock(&self, step: u32) -> u64 {
        let turns = u64::from(self.turns_high) << 32 | u64::from(self.turns_low);
        self.phase()
            .wrapping_add(turns.wrapping_mul(u64::from(step)))
    }

    /// Steps of this launch.
    fn count(&self) -> u32 {
        let left = self.total_steps.saturating_sub(self.first_step);
        self.steps.min(left)
    }

    /// States recorded in all.
    pub fn records(&self) -> u32 {
        self.total_steps.checked_div(self.record_every).unwrap_or(0)
    }

    fn has_each(&self) -> bool {
        self.flags & Self::EACH != 0
    }

    fn parameter_count(&self) -> usize {
        let each = if self.has_each() {
            self.trajectories
        } else {
            1
        };
        self.field.parameters().len().saturating_mul(each as usize)
    }

    fn check_control(&self) -> Result<(), KernelError> {
        let refuse = |name, expected: &str, found: String| {
            Err(KernelError::parameter(Self::NAME, name, expected, found))
        };
        let tolerances = [
            ("relative_tolerance", self.relative_tolerance),
            ("absolute_tolerance", self.absolute_tolerance),
        ];
        if let Some((name, value)) = tolerances
            .iter()
            .find(|(_, value)| !value.is_finite() || *value < 0.0)
        {
            return refuse(name, "0 or more", value.to_string());
        }
        if self.relative_tolerance + self.absolute_tolerance <= 0.0 {
            return refuse("absolute_tolerance", "one tolerance above 0", "0".into());
        }
        if self.step_high <= 0.0 {
            return refuse("step_high", "above 0", self.step_high.to_string());
        }
        if self.span_high <= 0.0 {
            return refuse("span_high", "above 0", self.span_high.to_string());
        }
        if self.total_steps > Self::MOST_ATTEMPTS {
            return refuse("total_steps", "at most 2^24", self.total_steps.to_string());
        }
        if self.record_every > 0 {
            return refuse("record_every", "0", self.record_every.to_string());
        }
        Ok(())
    }
}

impl Kernel for OdeEnsemble {
    const NAME: &'static str = "ode_ensemble";
    const SHADER: &'static str = include_str!("../../shaders/ode_ensemble.wgsl");
    const ENTRY_POINTS: &'static [&'static str] = &[
        "lorenz63",
        "lorenz63_dormand_prince",
        "rossler",
        "rossler_dormand_prince",
        "van_der_pol",
        "van_der_pol_dormand_prince",
        "henon_heiles",
        "henon_heiles_dormand_prince",
        "double_gyre",
        "double_gyre_dormand_prince",
        "oscillator",
        "oscillator_dormand_prince",
        "lorenz96",
        "lorenz96_dormand_prince",
    ];
    const OPERANDS: &'static [Operand] = &[
        Operand::output("state").in_place(),
        Operand::input("parameters").optional(),
        Operand::output("history").optional(),
        Operand::output("control").in_place().optional(),
        Operand::new("status", Element::Word, Access::ReadWrite).optional(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        self.field.check(Self::NAME)?;
        self.method.check(Self::NAME)?;
        require_positive(
            Self::NAME,
            &[
                ("trajectories", self.trajectories),
                ("steps", self.steps),
                ("total_steps", self.total_steps),
            ],
        )?;
        for (name, value) in [
            ("step_high", self.step_high),
            ("step_low", self.step_low),
            ("span_high", self.span_high),
            ("span_low", self.span_low),
            ("rate_high", self.rate_high),
            ("rate_low", self.rate_low),
        ] {
            require_finite(Self::NAME, name, value)?;
        }
        if self.step_high == 0.0 {
            return Err(KernelError::parameter(Self::NAME, "step_high", "not 0", 0));
        }
        if self.flags & !Self::EACH != 0 {
            let expected = "no other flag than EACH";
            return Err(KernelError::parameter(
                Self::NAME,
                "flags",
                expected,
                self.flags,
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
        if self.method.is_adaptive() {
            self.check_control()?;
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let dimension = self.field.dimension();
        let controlled = if self.method.is_adaptive() { 3 } else { 0 };
        vec![
            element_count(&[dimension, self.trajectories]),
            self.parameter_count(),
            element_count(&[self.records(), dimension, self.trajectories]),
            element_count(&[controlled, self.trajectories]),
            element_count(&[controlled, self.trajectories]),
        ]
    }

    /// The operations of the textbook algorithms as they are executed; under step control those of all
    /// attempts of the launch, which few trajectories need.
    fn cost(&self) -> Cost {
        let dimension = u64::from(self.field.dimension());
        let trajectories = u64::from(self.trajectories);
        let count = u64::from(self.count());
        let step = self.method.flops(self.field.flops(), dimension);
        let end = self.first_step.saturating_add(self.count());
        let recorded = |steps: u32| u64::from(steps.checked_div(self.record_every).unwrap_or(0));
        let records = recorded(end) - recorded(self.first_step.min(end));
        let controlled = if self.method.is_adaptive() { 12 } else { 0 };
        let elements = (2 + records)
            .saturating_mul(dimension)
            .saturating_add(controlled)
            .saturating_mul(trajectories)
            .saturating_add(self.parameter_count() as u64);
        Cost {
            flops: trajectories.saturating_mul(count).saturating_mul(step),
            bytes: elements.saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: self.field.entry_point(self.method.is_dormand_prince()),
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
        T::integrate(self, operands)
    }
}
