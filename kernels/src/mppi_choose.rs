//! The action that MPPI takes.

use crate::addressing::require_positive;
use crate::mppi_sample::require_addressable;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use serde::Serialize;

/// Draws an elite by its score and takes its first action, as TD-MPC2 does (Hansen, Su, Wang 2024, section
/// 3.2; the draw is Gumbel-max, Gumbel 1954): with draws e of the unit exponential distribution the elite is
/// `argmax (ln score - ln e)`, computed as `argmax score / e`, the first among equals. The action is
/// `clip(a + deviation * noise, -1, 1)` with [`MppiChoose::NOISE`], `clip(a, -1, 1)` without.
///
/// Operands: `score`, `exponential` and `elite` words `[environments, elites]`; `actions`
/// `[environments, candidates, length]`; with noise `deviation` `[environments, length]` and `noise`
/// `[environments, width]`; outputs `action` `[environments, width]` and `chosen` words `[environments]`, the
/// candidate. The first `width` numbers of a sequence are its first action.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct MppiChoose {
    /// Environments.
    pub environments: u32,
    /// Candidates of an environment.
    pub candidates: u32,
    /// Elites of an environment.
    pub elites: u32,
    /// Numbers of a candidate's sequence.
    pub length: u32,
    /// Numbers of an action.
    pub width: u32,
    /// Bit set of [`MppiChoose::NOISE`].
    pub flags: u32,
}

impl MppiChoose {
    /// Flag: the action is disturbed.
    pub const NOISE: u32 = 1;

    fn disturbs(&self) -> bool {
        self.flags & Self::NOISE != 0
    }
}

impl Kernel for MppiChoose {
    const NAME: &'static str = "mppi_choose";
    const SHADER: &'static str = include_str!("../../shaders/mppi_choose.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("score"),
        Operand::input("exponential"),
        Operand::input("elite").words(),
        Operand::input("actions"),
        Operand::input("deviation").optional(),
        Operand::input("noise").optional(),
        Operand::output("action"),
        Operand::output("chosen").words(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("environments", self.environments),
                ("candidates", self.candidates),
                ("elites", self.elites),
                ("length", self.length),
                ("width", self.width),
            ],
        )?;
        let refuse = |parameter, expected: String, found: u32| {
            Err(KernelError::parameter(
                Self::NAME,
                parameter,
                expected,
                found,
            ))
        };
        if self.width > self.length {
            let expected = format!("at most length = {}", self.length);
            return refuse("width", expected, self.width);
        }
        if self.flags > Self::NOISE {
            return refuse("flags", "0..=1".into(), self.flags);
        }
        require_addressable(
            Self::NAME,
            &[self.environments, self.candidates, self.length],
        )?;
        require_addressable(Self::NAME, &[self.environments, self.elites])
    }

    fn extents(&self) -> Vec<usize> {
        let of = |dimensions: &[u32]| element_count(dimensions);
        let noise = |count: usize| if self.disturbs() { count } else { 0 };
        let elites = of(&[self.environments, self.elites]);
        vec![
            elites,
            elites,
            elites,
            of(&[self.environments, self.candidates, self.length]),
            noise(of(&[self.environments, self.length])),
            noise(of(&[self.environments, self.width])),
            of(&[self.environments, self.width]),
            self.environments as usize,
        ]
    }

    fn cost(&self) -> Cost {
        let elites = element_count(&[self.environments, self.elites]) as u64;
        let actions = element_count(&[self.environments, self.width]) as u64;
        let moved = 2 * elites + actions * if self.disturbs() { 4 } else { 2 };
        Cost {
            flops: 2 * elites + 4 * actions,
            bytes: (moved + 2 * u64::from(self.environments)).saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.environments as usize, 64),
        }
    }

    fn software_iterations(&self) -> u64 {
        u64::from(self.elites) + u64::from(self.width) + 2
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let [candidates, elites, length, width] =
            [self.candidates, self.elites, self.length, self.width].map(|v| v as usize);
        let score = operands.float(0)?;
        let exponential = operands.float(1)?;
        let elite = operands.words(2)?;
        let actions = operands.float(3)?;
        let deviation = operands.float_or_empty(4)?;
        let noise = operands.float_or_empty(5)?;
        let out = operands.float_mut(6)?;
        let chosen = operands.words_mut(7)?;
        let rows = out.chunks_mut(width).zip(chosen).enumerate();
        for (environment, (out, chosen)) in rows.take(self.environments as usize) {
            let of = environment * elites..(environment + 1) * elites;
            let rates = score[of.clone()].iter().zip(&exponential[of.clone()]);
            let mut best = (0, T::NEG_INFINITY);
            for (place, (score, e)) in rates.enumerate() {
                let rate = *score / *e;
                if rate > best.1 {
                    best = (place, rate);
                }
            }
            let candidate = elite[of.start + best.0].min(self.candidates - 1);
            *chosen = candidate;
            let sequence = (environment * candidates + candidate as usize) * length;
            out.copy_from_slice(&actions[sequence..sequence + width]);
            if self.disturbs() {
                let noise = &noise[environment * width..][..width];
                let spread = deviation[environment * length..][..width].iter().zip(noise);
                for (value, (deviation, noise)) in out.iter_mut().zip(spread) {
                    *value = deviation.mul_add(*noise, *value);
                }
            }
            for value in out {
                *value = value.minimum(T::ONE).maximum(-T::ONE);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::MppiChoose;
    use crate::test_support::{assert_close, assert_refuses, numbers, run};
    use crate::{Kernel, View};

    fn kernel(environments: u32, elites: u32, flags: u32) -> MppiChoose {
        MppiChoose {
            environments,
            candidates: 67,
            elites,
            length: 6,
            width: 2,
            flags,
        }
    }

    struct Data {
        score: Vec<f32>,
        exponential: Vec<f32>,
        elite: Vec<u32>,
        actions: Vec<f32>,
        deviation: Vec<f32>,
        noise: Vec<f32>,
    }

    fn choose(kernel: MppiChoose, data: &Data) -> (Vec<f32>, Vec<u32>) {
        let extents = kernel.extents();
        let (mut action, mut chosen) = (vec![7.0f32; extents[6]], vec![7u32; extents[7]]);
        let optional = |x| match kernel.disturbs() {
            true => View::Float(x),
            false => View::Absent,
        };
        let views = vec![
            View::Float(&data.score),
            View::Float(&data.exponential),
            View::Word(&data.elite),
            View::Float(&data.actions),
            optional(&data.deviation),
            optional(&data.noise),
            View::FloatMut(&mut action),
            View::WordMut(&mut chosen),
        ];
        run(kernel, views).unwrap();
        (action, chosen)
    }

    fn data(kernel: &MppiChoose) -> Data {
        let extents = kernel.extents();
        let positive = |count, seed| numbers(count, seed).iter().map(|v| 0.6 + 0.5 * v).collect();
        Data {
            score: positive(extents[0], 1),
            exponential: positive(extents[1], 2),
            elite: (0..extents[2] as u32).map(|i| i * 7 % 67).collect(),
            actions: numbers(extents[3], 3),
            deviation: positive(extents[4], 4),
            noise: numbers(extents[5], 5).iter().map(|v| 3.0 * v).collect(),
        }
    }

    #[test]
    fn takes_the_elite_of_the_largest_difference_of_logarithms() {
        for (environments, elites, flags) in [(1, 1, 0), (3, 17, 1), (65, 64, 0), (67, 5, 1)] {
            let kernel = kernel(environments, elites, flags);
            let data = data(&kernel);
            let (action, chosen) = choose(kernel, &data);
            let k = elites as usize;
            for e in 0..environments as usize {
                let gumbel = |i: &usize| {
                    let at = e * k + i;
                    f64::from(data.score[at]).ln() - f64::from(data.exponential[at]).ln()
                };
                let best = (0..k)
                    .max_by(|a, b| gumbel(a).total_cmp(&gumbel(b)))
                    .unwrap();
                let candidate = data.elite[e * k + best];
                assert_eq!(chosen[e], candidate);
                let expected: Vec<f64> = (0..2)
                    .map(|i| {
                        let a = f64::from(data.actions[(e * 67 + candidate as usize) * 6 + i]);
                        let moved = match flags {
                            0 => 0.0,
                            _ => {
                                f64::from(data.deviation[e * 6 + i])
                                    * f64::from(data.noise[e * 2 + i])
                            }
                        };
                        (a + moved).clamp(-1.0, 1.0)
                    })
                    .collect();
                assert_close(&action[e * 2..][..2], &expected, 1e-6, "action");
            }
        }
    }

    #[test]
    fn an_elite_without_weight_is_not_taken() {
        let kernel = kernel(1, 3, 0);
        let mut data = data(&kernel);
        data.score = vec![0.0, 1e-30, 0.0];
        data.exponential = vec![1e-7, 80.0, 1e-7];
        assert_eq!(choose(kernel, &data).1, [data.elite[1]]);
        // Equal ones: the first.
        data.score = vec![0.25, 0.5, 0.25];
        data.exponential = vec![0.5, 1.0, 0.5];
        assert_eq!(choose(kernel, &data).1, [data.elite[0]]);
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = kernel(3, 5, 1);
        good.check().unwrap();
        assert_eq!(
            (good.cost().flops, good.cost().bytes),
            (30 + 24, (30 + 24 + 6) * 4)
        );
        assert_refuses(
            MppiChoose {
                environments: 0,
                ..good
            },
            "environments",
        );
        assert_refuses(MppiChoose { elites: 0, ..good }, "elites");
        assert_refuses(MppiChoose { width: 0, ..good }, "width");
        assert_refuses(MppiChoose { width: 7, ..good }, "width");
        assert_refuses(MppiChoose { flags: 2, ..good }, "flags");
    }
}
