//! Tangents of a step of a control task.

use crate::addressing::require_positive;
use crate::control_step::number::Dual;
use crate::control_step::{ControlStep, ControlSystem, WEIGHT, formulas};
use crate::rows::Rows;
use crate::tangents::{for_each_block, of_rows};
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// The tangents of [`ControlStep`]: `dnext[j] = dF/dobs dobs[j] + dF/daction daction[j]` at `obs` and
/// `action`, for each of `tangents` tangents, through every stage of the integrator.
///
/// A joint's limit is differentiated on the side on which it is found: where its force is held at zero, and
/// inside the range, it has no derivative. A direction of length zero does not move.
///
/// Operands: obs and action as in the primal; dobs, daction and dnext, laid out like obs, action and next, a
/// tangent stride apart; dobs or daction is left out, with a tangent stride of 0, where it is constant.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct ControlStepTangent {
    /// The task.
    pub system: ControlSystem,
    /// Rows.
    pub rows: u32,
    /// First element of obs, and of each tangent of it.
    pub obs_offset: u32,
    /// Elements between rows of obs.
    pub obs_row_stride: u32,
    /// First element of action, and of each tangent of it.
    pub action_offset: u32,
    /// Elements between rows of action; 0 for one action that all rows share.
    pub action_row_stride: u32,
    /// First element of each tangent of next.
    pub next_offset: u32,
    /// Elements between rows of next.
    pub next_row_stride: u32,
    /// Tangents.
    pub tangents: u32,
    /// Elements between tangents of obs; 0 where it is constant.
    pub obs_tangent_stride: u32,
    /// Elements between tangents of action; 0 where it is constant.
    pub action_tangent_stride: u32,
    /// Elements between tangents of next.
    pub next_tangent_stride: u32,
}

/// Tangents that the twin moves together.
const TOGETHER: usize = 8;
/// Numbers of the widest observation and action.
const WIDEST: [usize; 2] = [6, 2];

impl ControlStepTangent {
    /// The tangents of `primal`, those of observation and action as far apart as told, in elements, or 0
    /// where it is constant, and those of the next observation.
    pub fn new(primal: ControlStep, tangents: u32, inputs: [u32; 2], next: u32) -> Self {
        Self {
            system: primal.system,
            rows: primal.rows,
            obs_offset: primal.obs_offset,
            obs_row_stride: primal.obs_row_stride,
            action_offset: primal.action_offset,
            action_row_stride: primal.action_row_stride,
            next_offset: primal.next_offset,
            next_row_stride: primal.next_row_stride,
            tangents,
            obs_tangent_stride: inputs[0],
            action_tangent_stride: inputs[1],
            next_tangent_stride: next,
        }
    }

    fn primal(&self) -> ControlStep {
        ControlStep {
            system: self.system,
            rows: self.rows,
            obs_offset: self.obs_offset,
            obs_row_stride: self.obs_row_stride,
            action_offset: self.action_offset,
            action_row_stride: self.action_row_stride,
            next_offset: self.next_offset,
            next_row_stride: self.next_row_stride,
        }
    }

    /// The tangents of an input, none if it is constant.
    fn moved(&self, primal: Rows, stride: u32) -> Option<Rows> {
        let place = [primal.offset, primal.row_stride];
        let rows = of_rows([self.rows, primal.width], place, [self.tangents, stride]);
        (stride != 0).then_some(rows)
    }

    fn dobs(&self) -> Option<Rows> {
        self.moved(self.primal().obs(), self.obs_tangent_stride)
    }

    fn dactions(&self) -> Option<Rows> {
        self.moved(self.primal().actions(), self.action_tangent_stride)
    }

    fn dnext(&self) -> Rows {
        let place = [self.next_offset, self.next_row_stride];
        let tangents = [self.tangents, self.next_tangent_stride];
        of_rows([self.rows, self.system.observation()], place, tangents)
    }
}

/// The inputs of a block of rows.
#[derive(Clone, Copy)]
struct Inputs<'a, T> {
    system: ControlSystem,
    obs: (Rows, &'a [T]),
    action: (Rows, &'a [T]),
    dobs: Option<(Rows, &'a [T])>,
    daction: Option<(Rows, &'a [T])>,
}

/// Numbers of a row with tangents `first` to `first + TOGETHER`; those beyond the last are zero.
#[inline(always)]
fn duals<T: Real, const W: usize>(
    (rows, values): (Rows, &[T]),
    tangents: Option<(Rows, &[T])>,
    (row, first, count): (usize, usize, usize),
) -> [Dual<T, TOGETHER>; W] {
    let mut all = [Dual {
        value: T::ZERO,
        slopes: [T::ZERO; TOGETHER],
    }; W];
    for (dual, value) in all.iter_mut().zip(rows.row(values, 0, row)) {
        dual.value = *value;
    }
    let Some((rows, slopes)) = tangents else {
        return all;
    };
    for lane in 0..count {
        let own = rows.row(slopes, first + lane, row);
        for (dual, slope) in all.iter_mut().zip(own) {
            dual.slopes[lane] = *slope;
        }
    }
    all
}

impl<T: Real> Inputs<'_, T> {
    /// The tangents of the next observation, as [`duals`].
    #[inline(always)]
    fn step(&self, at: (usize, usize, usize)) -> [Dual<T, TOGETHER>; WIDEST[0]] {
        let obs: [_; WIDEST[0]] = duals(self.obs, self.dobs, at);
        let action: [_; WIDEST[1]] = duals(self.action, self.daction, at);
        let widths = [self.obs.0.width as usize, self.action.0.width as usize];
        formulas::step(self.system, &obs[..widths[0]], &action[..widths[1]])
    }
}

impl Kernel for ControlStepTangent {
    const NAME: &'static str = "control_step_tangent";
    const SHADER: &'static str = include_str!("../../shaders/control_step_tangent.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("obs"),
        Operand::input("action"),
        Operand::input("dobs").optional(),
        Operand::input("daction").optional(),
        Operand::output("dnext"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        self.primal().check_as(Self::NAME)?;
        require_positive(Self::NAME, &[("tangents", self.tangents)])?;
        if self.obs_tangent_stride == 0 && self.action_tangent_stride == 0 {
            return Err(KernelError::parameter(
                Self::NAME,
                "obs_tangent_stride",
                "at least 1 where actions are constant",
                0,
            ));
        }
        self.dnext()
            .check(Self::NAME, ("next_row_stride", "next_tangent_stride"))
    }

    fn extents(&self) -> Vec<usize> {
        let reach = |rows: Option<Rows>| rows.map_or(0, |rows| rows.reach());
        vec![
            self.primal().obs().reach(),
            self.primal().actions().reach(),
            reach(self.dobs()),
            reach(self.dactions()),
            self.dnext().reach(),
        ]
    }

    fn cost(&self) -> Cost {
        let (rows, tangents) = (u64::from(self.rows), u64::from(self.tangents));
        let width = |rows: Option<Rows>| rows.map_or(0, |rows| u64::from(rows.width));
        let observed = u64::from(self.system.observation());
        let moved = width(self.dobs()) + width(self.dactions()) + observed;
        let numbers = observed + u64::from(self.system.action()) + moved.saturating_mul(tangents);
        Cost {
            // A product has two terms a tangent.
            flops: rows.saturating_mul(self.system.flops().saturating_mul(1 + 3 * tangents)),
            bytes: rows.saturating_mul(numbers).saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(element_count(&[self.rows, self.tangents]), 64),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let obs = operands.float(0)?;
        let action = operands.float(1)?;
        let dobs = operands.float_or_empty(2)?;
        let daction = operands.float_or_empty(3)?;
        let dnext = operands.float_mut(4)?;
        let inputs = Inputs {
            system: self.system,
            obs: (self.primal().obs(), obs),
            action: (self.primal().actions(), action),
            dobs: self.dobs().map(|rows| (rows, dobs)),
            daction: self.dactions().map(|rows| (rows, daction)),
        };
        let (stride, width) = (self.next_row_stride as usize, self.dnext().width as usize);
        for_each_block(
            &self.dnext(),
            (operands.parallel, WEIGHT),
            dnext,
            #[inline(always)]
            |block, pieces| {
                for row in block.clone() {
                    let own = (row - block.start) * stride;
                    for (group, pieces) in pieces.chunks_mut(TOGETHER).enumerate() {
                        let moved = inputs.step((row, group * TOGETHER, pieces.len()));
                        for (lane, piece) in pieces.iter_mut().enumerate() {
                            let own = &mut piece[own..own + width];
                            for (out, moved) in own.iter_mut().zip(moved) {
                                *out = moved.slopes[lane];
                            }
                        }
                    }
                }
            },
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests;
