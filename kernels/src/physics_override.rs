//! Distrust of moves into hazards.

use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// `confidence[b, l] = value` where `l < positions`, `prediction[b, l] < directions` and the word
/// `hazards[b, prediction[b, l]]` is not zero; the rest keeps its value.
///
/// Operands: `prediction` words `[batch, length]`, `hazards` words `[batch, directions]`, `confidence`
/// `[batch, length]` in place. It belongs between the choice of tokens and their commitment.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct PhysicsOverride {
    /// Examples.
    pub batch: u32,
    /// Positions of one example.
    pub length: u32,
    /// Positions tested: the first so many.
    pub positions: u32,
    /// Tokens that are moves: the first so many.
    pub directions: u32,
    /// Confidence of a move into a hazard.
    pub value: f32,
}

impl PhysicsOverride {
    /// The MiniHack planner's option: the first eight positions, the moves north, east, south and
    /// west as tokens 0 to 3, confidence 0.001.
    pub fn minihack(batch: u32, length: u32) -> Self {
        Self {
            batch,
            length,
            positions: 8,
            directions: 4,
            value: 0.001,
        }
    }

    fn tested(&self) -> u32 {
        self.positions.min(self.length)
    }
}

impl Kernel for PhysicsOverride {
    const NAME: &'static str = "physics_override";
    const SHADER: &'static str = include_str!("../../shaders/physics_override.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("prediction").words(),
        Operand::input("hazards").words(),
        Operand::output("confidence").in_place(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        for (parameter, value) in [
            ("batch", self.batch),
            ("length", self.length),
            ("positions", self.positions),
            ("directions", self.directions),
        ] {
            if value == 0 {
                return Err(KernelError::parameter(
                    Self::NAME,
                    parameter,
                    "at least 1",
                    0,
                ));
            }
        }
        for (parameter, width) in [("length", self.length), ("directions", self.directions)] {
            if element_count(&[self.batch, width]) > u32::MAX as usize {
                let expected = "at most 2^32 - 1 elements in all";
                return Err(KernelError::parameter(
                    Self::NAME,
                    parameter,
                    expected,
                    width,
                ));
            }
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let elements = element_count(&[self.batch, self.length]);
        vec![
            elements,
            element_count(&[self.batch, self.directions]),
            elements,
        ]
    }

    fn cost(&self) -> Cost {
        let tested = element_count(&[self.batch, self.tested()]) as u64;
        let hazards = element_count(&[self.batch, self.directions]) as u64;
        Cost {
            flops: 0,
            bytes: tested
                .saturating_mul(3)
                .saturating_add(hazards)
                .saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(element_count(&[self.batch, self.tested()]), 64),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let length = self.length as usize;
        let prediction = operands.words(0)?;
        let hazards = operands.words(1)?;
        let confidence = operands.float_mut(2)?;
        let directions = self.directions as usize;
        let rows = confidence
            .chunks_mut(length)
            .zip(prediction.chunks(length))
            .zip(hazards.chunks(directions))
            .take(self.batch as usize);
        for ((confidence, prediction), hazards) in rows {
            let tested = confidence.iter_mut().zip(prediction);
            for (confidence, &token) in tested.take(self.positions as usize) {
                if hazards
                    .get(token as usize)
                    .is_some_and(|&hazard| hazard != 0)
                {
                    *confidence = T::from_f32(self.value);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{AnyKernel, View};

    fn run(kernel: PhysicsOverride, prediction: &[u32], hazards: &[u32]) -> Vec<f32> {
        let mut confidence = vec![0.5f32; prediction.len()];
        let views = vec![
            View::Word(prediction),
            View::Word(hazards),
            View::FloatMut(&mut confidence),
        ];
        let table = PhysicsOverride::OPERANDS;
        let mut operands = Operands::new(PhysicsOverride::NAME, table, views, true);
        AnyKernel::from(kernel).twin(&mut operands).unwrap();
        confidence
    }

    #[test]
    fn only_early_moves_into_hazards_lose_confidence() {
        for (batch, length) in [(1, 1), (3, 7), (2, 8), (5, 67)] {
            let prediction: Vec<u32> = (0..batch * length).map(|i| i * 7 % 13).collect();
            let hazards: Vec<u32> = (0..batch * 4).map(|i| (i * 5 % 3) & 1).collect();
            let kernel = PhysicsOverride::minihack(batch, length);
            let found = run(kernel, &prediction, &hazards);
            for b in 0..batch {
                for l in 0..length {
                    let at = (b * length + l) as usize;
                    let token = prediction[at];
                    let hit = l < 8 && token < 4 && hazards[(b * 4 + token) as usize] != 0;
                    assert_eq!(found[at], if hit { 0.001 } else { 0.5 });
                }
            }
        }
    }

    #[test]
    fn a_missing_prediction_is_no_move() {
        let kernel = PhysicsOverride::minihack(1, 2);
        assert_eq!(run(kernel, &[u32::MAX, 3], &[1; 4]), [0.5, 0.001]);
    }

    #[test]
    fn refuses_what_it_is_not_defined_for() {
        let good = PhysicsOverride::minihack(2, 3);
        assert!(good.check().is_ok());
        for bad in [
            PhysicsOverride { batch: 0, ..good },
            PhysicsOverride { length: 0, ..good },
            PhysicsOverride {
                positions: 0,
                ..good
            },
            PhysicsOverride {
                directions: 0,
                ..good
            },
            PhysicsOverride {
                batch: u32::MAX,
                ..good
            },
            PhysicsOverride {
                directions: u32::MAX,
                ..good
            },
        ] {
            assert!(bad.check().is_err(), "{bad:?}");
        }
    }
}
