//! Candidate action sequences of MPPI.

use crate::addressing::require_positive;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    for_each_row, linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// Candidates `[environments, candidates, length]` of model predictive path integral control as TD-MPC2
/// runs it (Hansen, Su, Wang 2024, section 3.2): the first `policies` are the policy's sequences, unchanged;
/// the others are `clip(mean + deviation * noise, -1, 1)`.
///
/// Operands: `policy` `[environments, policies, length]`, absent where there are none; `mean` and
/// `deviation` `[environments, length]`; `noise` `[environments, candidates - policies, length]`, absent
/// where every candidate is the policy's; output `actions`. `length` is horizon times action width.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct MppiSample {
    /// Environments.
    pub environments: u32,
    /// Candidates of an environment.
    pub candidates: u32,
    /// Those that are the policy's.
    pub policies: u32,
    /// Numbers of a sequence.
    pub length: u32,
}

impl MppiSample {
    fn drawn(&self) -> u32 {
        self.candidates.saturating_sub(self.policies)
    }
}

impl Kernel for MppiSample {
    const NAME: &'static str = "mppi_sample";
    const SHADER: &'static str = include_str!("../../shaders/mppi_sample.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("policy").optional(),
        Operand::input("mean"),
        Operand::input("deviation"),
        Operand::input("noise").optional(),
        Operand::output("actions"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("environments", self.environments),
                ("candidates", self.candidates),
                ("length", self.length),
            ],
        )?;
        if self.policies > self.candidates {
            let expected = format!("at most candidates = {}", self.candidates);
            return Err(KernelError::parameter(
                Self::NAME,
                "policies",
                expected,
                self.policies,
            ));
        }
        require_addressable(
            Self::NAME,
            &[self.environments, self.candidates, self.length],
        )
    }

    fn extents(&self) -> Vec<usize> {
        let of = |rows: u32| element_count(&[self.environments, rows, self.length]);
        let distribution = of(1);
        vec![
            of(self.policies),
            distribution,
            distribution,
            of(self.drawn()),
            of(self.candidates),
        ]
    }

    fn cost(&self) -> Cost {
        let drawn = element_count(&[self.environments, self.drawn(), self.length]) as u64;
        let elements: usize = self.extents().iter().sum();
        Cost {
            flops: drawn.saturating_mul(4),
            bytes: (elements as u64).saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        let count = element_count(&[self.environments, self.candidates, self.length]);
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(count, 256),
        }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let policy = operands.float_or_empty(0)?;
        let mean = operands.float(1)?;
        let deviation = operands.float(2)?;
        let noise = operands.float_or_empty(3)?;
        let parallel = operands.parallel;
        let [environments, candidates, policies, length] = [
            self.environments,
            self.candidates,
            self.policies,
            self.length,
        ]
        .map(|v| v as usize);
        let actions = &mut operands.float_mut(4)?[..environments * candidates * length];
        for_each_row(
            parallel,
            actions,
            length,
            #[inline(always)]
            |row, out| {
                let (environment, candidate) = (row / candidates, row % candidates);
                if candidate < policies {
                    let from = (environment * policies + candidate) * length;
                    out.copy_from_slice(&policy[from..from + length]);
                    return;
                }
                let drawn = environment * (candidates - policies) + candidate - policies;
                let noise = &noise[drawn * length..][..length];
                let mean = &mean[environment * length..][..length];
                let deviation = &deviation[environment * length..][..length];
                let spread = deviation.iter().zip(noise);
                for ((out, mean), (deviation, noise)) in out.iter_mut().zip(mean).zip(spread) {
                    let value = deviation.mul_add(*noise, *mean);
                    *out = value.minimum(T::ONE).maximum(-T::ONE);
                }
            },
        );
        Ok(())
    }
}

/// Refuses operands whose elements a 32-bit index cannot count.
pub(crate) fn require_addressable(
    kernel: &'static str,
    dimensions: &[u32],
) -> Result<(), KernelError> {
    if element_count(dimensions) <= u32::MAX as usize {
        return Ok(());
    }
    Err(KernelError::parameter(
        kernel,
        "environments",
        "at most 2^32 - 1 elements in all",
        format!("{dimensions:?}"),
    ))
}

#[cfg(test)]
mod tests {
    use super::MppiSample;
    use crate::test_support::{assert_close, assert_refuses, numbers, run};
    use crate::{Kernel, View};

    fn sample(kernel: MppiSample, inputs: [&[f32]; 4]) -> Vec<f32> {
        let mut out = vec![7.0f32; kernel.extents()[4] + 1];
        let mut views: Vec<_> = inputs
            .iter()
            .map(|x| match x.is_empty() {
                true => View::Absent,
                false => View::Float(x),
            })
            .collect();
        views.push(View::FloatMut(&mut out));
        run(kernel, views).unwrap();
        assert_eq!(out.pop(), Some(7.0));
        out
    }

    #[test]
    fn policies_come_first_and_draws_are_clipped() {
        for (environments, candidates, policies, length) in [
            (1, 1, 0, 1),
            (1, 1, 1, 3),
            (3, 17, 5, 7),
            (2, 257, 24, 3),
            (5, 13, 0, 2),
        ] {
            let kernel = MppiSample {
                environments,
                candidates,
                policies,
                length,
            };
            let extents = kernel.extents();
            let data: Vec<Vec<f32>> = extents[..4]
                .iter()
                .enumerate()
                .map(|(salt, count)| {
                    numbers(*count, salt as u64 + 3)
                        .iter()
                        .map(|v| 1.5 * v)
                        .collect()
                })
                .collect();
            let found = sample(kernel, [&data[0], &data[1], &data[2], &data[3]]);
            let (n, p, l) = (candidates as usize, policies as usize, length as usize);
            let mut expected = Vec::new();
            for e in 0..environments as usize {
                for c in 0..n {
                    for i in 0..l {
                        expected.push(if c < p {
                            f64::from(data[0][(e * p + c) * l + i])
                        } else {
                            let noise = f64::from(data[3][(e * (n - p) + c - p) * l + i]);
                            let value = f64::from(data[1][e * l + i])
                                + f64::from(data[2][e * l + i]) * noise;
                            value.clamp(-1.0, 1.0)
                        });
                    }
                }
            }
            assert_close(&found, &expected, 3e-7, "mppi_sample");
            if p > 0 {
                assert_eq!(
                    found[..l],
                    data[0][..l],
                    "a policy's sequence is not clipped"
                );
            }
        }
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = MppiSample {
            environments: 2,
            candidates: 5,
            policies: 2,
            length: 3,
        };
        good.check().unwrap();
        assert_eq!(
            (good.cost().flops, good.cost().bytes),
            (72, (12 + 6 + 6 + 18 + 30) * 4)
        );
        assert_refuses(
            MppiSample {
                environments: 0,
                ..good
            },
            "environments",
        );
        assert_refuses(
            MppiSample {
                candidates: 0,
                ..good
            },
            "candidates",
        );
        assert_refuses(MppiSample { length: 0, ..good }, "length");
        assert_refuses(
            MppiSample {
                policies: 6,
                ..good
            },
            "policies",
        );
        assert_refuses(
            MppiSample {
                environments: u32::MAX,
                ..good
            },
            "environments",
        );
    }
}
