//! One step of a control task from observation to observation.

pub mod constants;
pub mod formulas;
pub mod number;
mod system;

pub use system::ControlSystem;

use crate::addressing::require_positive;
use crate::rows::Rows;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real,
    for_each_weighted_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// One time step of a control task in closed form, row by row: `next = F(obs, action)`, where coordinates
/// and velocities are those that `obs` tells. The formulas are in [`formulas`].
///
/// An observed direction need not have length 1: its angle counts, as by `atan2`. Actions are taken as
/// they are; the tasks have them in `[-1, 1]`.
///
/// Operands: obs `[rows, n]` and next, n of [`ControlSystem::observation`]; action `[rows, m]`, m of
/// [`ControlSystem::action`].
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct ControlStep {
    /// The task.
    pub system: ControlSystem,
    /// Rows.
    pub rows: u32,
    /// First element of obs.
    pub obs_offset: u32,
    /// Elements between rows of obs.
    pub obs_row_stride: u32,
    /// First element of action.
    pub action_offset: u32,
    /// Elements between rows of action; 0 for one action that all rows share.
    pub action_row_stride: u32,
    /// First element of next.
    pub next_offset: u32,
    /// Elements between rows of next.
    pub next_row_stride: u32,
}

/// Cost of a number of a result, in plain elements.
pub(crate) const WEIGHT: usize = 64;

impl ControlStep {
    /// Contiguous operands.
    pub fn contiguous(system: ControlSystem, rows: u32) -> Self {
        Self {
            system,
            rows,
            obs_offset: 0,
            obs_row_stride: system.observation(),
            action_offset: 0,
            action_row_stride: system.action(),
            next_offset: 0,
            next_row_stride: system.observation(),
        }
    }

    fn view(&self, width: u32, offset: u32, row_stride: u32) -> Rows {
        Rows {
            batch: 1,
            rows: self.rows,
            width,
            offset,
            batch_stride: 0,
            row_stride,
        }
    }

    pub(crate) fn obs(&self) -> Rows {
        let width = self.system.observation();
        self.view(width, self.obs_offset, self.obs_row_stride)
    }

    pub(crate) fn actions(&self) -> Rows {
        let width = self.system.action();
        self.view(width, self.action_offset, self.action_row_stride)
    }

    fn next(&self) -> Rows {
        let width = self.system.observation();
        self.view(width, self.next_offset, self.next_row_stride)
    }

    /// Checks task and rows.
    pub(crate) fn check_as(&self, kernel: &'static str) -> Result<(), KernelError> {
        self.system.check(kernel)?;
        require_positive(kernel, &[("rows", self.rows)])
    }
}

impl Kernel for ControlStep {
    const NAME: &'static str = "control_step";
    const SHADER: &'static str = include_str!("../../shaders/control_step.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("obs"),
        Operand::input("action"),
        Operand::output("next"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        self.check_as(Self::NAME)?;
        self.next()
            .check(Self::NAME, ("next_row_stride", "next_row_stride"))
    }

    fn extents(&self) -> Vec<usize> {
        vec![
            self.obs().reach(),
            self.actions().reach(),
            self.next().reach(),
        ]
    }

    fn cost(&self) -> Cost {
        let rows = u64::from(self.rows);
        let numbers = u64::from(2 * self.system.observation() + self.system.action());
        Cost {
            flops: rows.saturating_mul(self.system.flops()),
            bytes: rows.saturating_mul(4 * numbers),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.rows as usize, 64),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let obs = operands.float(0)?;
        let action = operands.float(1)?;
        let next = operands.float_mut(2)?;
        let (from, by) = (self.obs(), self.actions());
        let own = self.next();
        let width = own.width as usize;
        let stride = match own.rows {
            1 => width,
            _ => own.row_stride as usize,
        };
        for_each_weighted_row(
            operands.parallel,
            &mut next[own.offset as usize..own.reach()],
            stride,
            WEIGHT,
            #[inline(always)]
            |row, next| {
                let (obs, action) = (from.row(obs, 0, row), by.row(action, 0, row));
                let moved = formulas::step(self.system, obs, action);
                for (next, moved) in next.iter_mut().take(width).zip(moved) {
                    *next = moved;
                }
            },
        );
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests;
