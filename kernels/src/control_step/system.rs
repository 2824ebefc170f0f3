//! The control tasks: names, widths, constants that results are scored with.

use crate::KernelError;
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// A control task in closed form, as a word that shaders branch on.
///
/// These are the tasks of the DeepMind control suite (Tassa et al. 2018) by those names, as MuJoCo's
/// (Todorov, Erez, Tassa 2012) equations of motion have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct ControlSystem(u32);

impl ControlSystem {
    /// Cart-pole, swing-up. Coordinates: cart position in metres, pole angle in radians, 0 upright.
    /// Observation: position, cosine and sine of the angle, both velocities. One action: the force on the
    /// cart in units of 10 N.
    pub const CARTPOLE: Self = Self(0);
    /// Planar two-link arm, reacher. Coordinates: shoulder and wrist angles in radians. Observation: both
    /// angles, target less finger position in metres, both velocities. Two actions: the torques in units of
    /// 0.05 N m.
    pub const REACHER: Self = Self(1);
    /// Acrobot, swing-up. Coordinates: angle of the upper arm, 0 upright, and of the elbow. Observation:
    /// sines of the upper and the lower arm's angle to the vertical, their cosines, both velocities. One
    /// action: the torque at the elbow in units of 2 N m.
    pub const ACROBOT: Self = Self(2);

    /// All of them.
    pub const ALL: &'static [Self] = &[Self::CARTPOLE, Self::REACHER, Self::ACROBOT];

    /// Numbers of an observation.
    pub const fn observation(self) -> u32 {
        match self.0 {
            0 => 5,
            _ => 6,
        }
    }

    /// Numbers of an action.
    pub const fn action(self) -> u32 {
        match self.0 {
            1 => 2,
            _ => 1,
        }
    }

    /// Operations of one step, an elementary function counted once.
    pub(crate) const fn flops(self) -> u64 {
        match self.0 {
            0 => 400,
            1 => 150,
            _ => 420,
        }
    }

    /// # Errors
    /// [`KernelError::Parameter`] for a word that names no task.
    pub(crate) fn check(self, kernel: &'static str) -> Result<(), KernelError> {
        if Self::ALL.contains(&self) {
            return Ok(());
        }
        let expected = "0 (cart-pole), 1 (reacher) or 2 (acrobot)";
        Err(KernelError::parameter(kernel, "system", expected, self.0))
    }
}
