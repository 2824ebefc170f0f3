//! The sampling distribution of MPPI from the best of its candidates.

use crate::addressing::require_positive;
use crate::mppi_sample::require_addressable;
use crate::{
    Access, Capabilities, Cost, Element, Kernel, KernelError, Launch, Operand, Operands, Real,
    element_count, linear_workgroups, simd,
};
use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;
use serde::Serialize;

/// Elites, scores, mean and deviation of an iteration of MPPI, environment by environment (Williams and
/// others 2015; as in TD-MPC2, Hansen, Su, Wang 2024, section 3.2).
///
/// The elites are the `elites` largest values in descending order, of equal ones the lower index first. A
/// value that is NaN counts as 0, an infinite one as the largest finite number of its sign, and
/// `value` is written back so. With `w_k = exp(temperature (v_k - v_0))` and `score_k = w_k / sum w`,
/// whose sum is s: `mean = sum score a / (s + 1e-9)` and
/// `deviation = clip(sqrt(sum score (a - mean)^2 / (s + 1e-9)), least, most)`.
///
/// Operands: `value` `[environments, candidates]` in place; `actions` `[environments, candidates, length]`;
/// outputs `mean` and `deviation` `[environments, length]`, `elite` words and `score`
/// `[environments, elites]`.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct MppiUpdate {
    /// Environments.
    pub environments: u32,
    /// Candidates of an environment.
    pub candidates: u32,
    /// Those that count.
    pub elites: u32,
    /// Numbers of a candidate's sequence.
    pub length: u32,
    /// Factor on differences of values.
    pub temperature: f32,
    /// Smallest deviation.
    pub least: f32,
    /// Largest deviation.
    pub most: f32,
}

/// One environment's operands.
struct Environment<'a, T> {
    value: &'a mut [T],
    actions: &'a [T],
    mean: &'a mut [T],
    deviation: &'a mut [T],
    elite: &'a mut [u32],
    score: &'a mut [T],
}

impl MppiUpdate {
    #[inline(always)]
    fn environment<T: Real>(&self, one: Environment<'_, T>) {
        let largest = largest_finite::<T>();
        for value in one.value.iter_mut() {
            let finite = value.minimum(largest).maximum(-largest);
            *value = if value.is_nan() { T::ZERO } else { finite };
        }
        let value = &*one.value;
        let mut order: Vec<u32> = (0..value.len() as u32).collect();
        // The order is total: no NaN is left.
        let before = |a: &u32, b: &u32| {
            let [x, y] = [a, b].map(|index| value[*index as usize]);
            let by_value = y.partial_cmp(&x).unwrap_or(std::cmp::Ordering::Equal);
            by_value.then(a.cmp(b))
        };
        let last = one.elite.len().saturating_sub(1).min(order.len() - 1);
        order.select_nth_unstable_by(last, before);
        order.truncate(one.elite.len());
        order.sort_unstable_by(before);
        one.elite.copy_from_slice(&order);
        let top = value[order[0] as usize];
        let temperature = T::from_f32(self.temperature);
        for (score, index) in one.score.iter_mut().zip(&order) {
            *score = (temperature * (value[*index as usize] - top)).exp();
        }
        let total = one.score.iter().fold(T::ZERO, |sum, w| sum + *w);
        one.score.iter_mut().for_each(|score| *score /= total);
        let scores = one.score.iter().fold(T::from_f64(1e-9), |sum, w| sum + *w);
        let length = one.mean.len();
        let sequence = |index: u32| &one.actions[index as usize * length..][..length];
        one.mean.fill(T::ZERO);
        for (score, index) in one.score.iter().zip(&order) {
            for (mean, action) in one.mean.iter_mut().zip(sequence(*index)) {
                *mean += *score * *action;
            }
        }
        one.mean.iter_mut().for_each(|mean| *mean /= scores);
        one.deviation.fill(T::ZERO);
        for (score, index) in one.score.iter().zip(&order) {
            let away = one.mean.iter().zip(sequence(*index));
            for (squares, (mean, action)) in one.deviation.iter_mut().zip(away) {
                let away = *action - *mean;
                *squares += *score * (away * away);
            }
        }
        let (least, most) = (T::from_f32(self.least), T::from_f32(self.most));
        for deviation in one.deviation.iter_mut() {
            *deviation = (*deviation / scores).sqrt().maximum(least).minimum(most);
        }
    }
}

/// The largest finite number of single precision, which both precisions hold.
fn largest_finite<T: Real>() -> T {
    T::from_f32(f32::MAX)
}

impl Kernel for MppiUpdate {
    const NAME: &'static str = "mppi_update";
    const SHADER: &'static str = include_str!("../../shaders/mppi_update.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::new("value", Element::Float, Access::ReadWrite),
        Operand::input("actions"),
        Operand::output("mean"),
        Operand::output("deviation"),
        Operand::output("elite").words(),
        Operand::output("score"),
    ];

    fn check(&self) -> Result<(), KernelError> {
        require_positive(
            Self::NAME,
            &[
                ("environments", self.environments),
                ("candidates", self.candidates),
                ("elites", self.elites),
                ("length", self.length),
            ],
        )?;
        let refuse = |parameter, expected: String, found: String| {
            Err(KernelError::parameter(
                Self::NAME,
                parameter,
                expected,
                found,
            ))
        };
        if self.elites > self.candidates {
            let expected = format!("at most candidates = {}", self.candidates);
            return refuse("elites", expected, self.elites.to_string());
        }
        if !(self.temperature.is_finite() && self.temperature >= 0.0) {
            let expected = "a finite number, 0 or more".into();
            return refuse("temperature", expected, self.temperature.to_string());
        }
        if !(self.least.is_finite() && self.least >= 0.0) {
            let expected = "a finite number, 0 or more".into();
            return refuse("least", expected, self.least.to_string());
        }
        if !(self.most.is_finite() && self.most >= self.least) {
            let expected = format!("a finite number, at least least = {}", self.least);
            return refuse("most", expected, self.most.to_string());
        }
        require_addressable(
            Self::NAME,
            &[self.environments, self.candidates, self.length],
        )
    }

    fn extents(&self) -> Vec<usize> {
        let of = |dimensions: &[u32]| element_count(dimensions);
        let distribution = of(&[self.environments, self.length]);
        let elites = of(&[self.environments, self.elites]);
        vec![
            of(&[self.environments, self.candidates]),
            of(&[self.environments, self.candidates, self.length]),
            distribution,
            distribution,
            elites,
            elites,
        ]
    }

    fn cost(&self) -> Cost {
        let count = |dimensions: &[u32]| element_count(dimensions) as u64;
        let values = count(&[self.environments, self.candidates]);
        let elites = count(&[self.environments, self.elites]);
        let sums = count(&[self.environments, self.elites, self.length]);
        let distribution = count(&[self.environments, self.length]);
        let moved = 2 * values + sums + 2 * distribution + 2 * elites;
        Cost {
            // Choosing is counted as one comparison a value, a weight as 16 operations; mean: multiply,
            // add; deviation: subtract, square, multiply, add.
            flops: values + 16 * elites + sums.saturating_mul(6),
            bytes: moved.saturating_mul(4),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.environments as usize, 1),
        }
    }

    fn software_iterations(&self) -> u64 {
        let [candidates, elites, length] =
            [self.candidates, self.elites, self.length].map(u64::from);
        let rounds = candidates.div_ceil(256);
        let own = length.div_ceil(256) * (2 * elites + 3);
        2 * rounds + rounds * (candidates + 1) + 3 * elites + own + 8
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let [environments, candidates, elites, length] =
            [self.environments, self.candidates, self.elites, self.length].map(|v| v as usize);
        let parallel = operands.parallel && environments > 1;
        let value = operands.float_mut(0)?;
        let actions = operands.float(1)?;
        let mean = operands.float_mut(2)?;
        let deviation = operands.float_mut(3)?;
        let elite = operands.words_mut(4)?;
        let score = operands.float_mut(5)?;
        let all: Vec<_> = value
            .chunks_mut(candidates)
            .zip(actions.chunks(candidates * length))
            .zip(mean.chunks_mut(length).zip(deviation.chunks_mut(length)))
            .zip(elite.chunks_mut(elites).zip(score.chunks_mut(elites)))
            .take(environments)
            .map(
                |(((value, actions), (mean, deviation)), (elite, score))| Environment {
                    value,
                    actions,
                    mean,
                    deviation,
                    elite,
                    score,
                },
            )
            .collect();
        let run = |one| {
            simd(
                #[inline(always)]
                || self.environment(one),
            );
        };
        match parallel {
            true => all.into_par_iter().for_each(run),
            false => all.into_iter().for_each(run),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::MppiUpdate;
    use crate::test_support::{assert_close, assert_refuses, numbers, run};
    use crate::{Kernel, View};

    struct Found {
        value: Vec<f32>,
        mean: Vec<f32>,
        deviation: Vec<f32>,
        elite: Vec<u32>,
        score: Vec<f32>,
    }

    fn kernel(environments: u32, candidates: u32, elites: u32, length: u32) -> MppiUpdate {
        MppiUpdate {
            environments,
            candidates,
            elites,
            length,
            temperature: 0.5,
            least: 0.05,
            most: 2.0,
        }
    }

    fn update(kernel: MppiUpdate, value: &[f32], actions: &[f32]) -> Found {
        let extents = kernel.extents();
        let mut found = Found {
            value: value.to_vec(),
            mean: vec![7.0; extents[2]],
            deviation: vec![7.0; extents[3]],
            elite: vec![7; extents[4]],
            score: vec![7.0; extents[5]],
        };
        let views = vec![
            View::FloatMut(&mut found.value),
            View::Float(actions),
            View::FloatMut(&mut found.mean),
            View::FloatMut(&mut found.deviation),
            View::WordMut(&mut found.elite),
            View::FloatMut(&mut found.score),
        ];
        run(kernel, views).unwrap();
        found
    }

    fn assert_environment(k: &MppiUpdate, e: usize, found: &Found, value: &[f32], actions: &[f32]) {
        let (n, elites, length) = (k.candidates as usize, k.elites as usize, k.length as usize);
        let value = &value[e * n..][..n];
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| value[*b].total_cmp(&value[*a]).then(a.cmp(b)));
        order.truncate(elites);
        let chosen: Vec<usize> = found.elite[e * elites..][..elites]
            .iter()
            .map(|i| *i as usize)
            .collect();
        assert_eq!(chosen, order);
        let top = f64::from(value[order[0]]);
        let w: Vec<f64> = order
            .iter()
            .map(|i| (0.5 * (f64::from(value[*i]) - top)).exp())
            .collect();
        let total: f64 = w.iter().sum();
        let score: Vec<f64> = w.iter().map(|w| w / total).collect();
        assert_close(&found.score[e * elites..][..elites], &score, 1e-6, "score");
        let action = |i: usize, l: usize| f64::from(actions[(e * n + i) * length + l]);
        for l in 0..length {
            let pairs = || score.iter().zip(&order);
            let mean: f64 = pairs().map(|(s, i)| s * action(*i, l)).sum();
            let squares: f64 = pairs()
                .map(|(s, i)| s * (action(*i, l) - mean).powi(2))
                .sum();
            let at = e * length + l;
            assert_close(&found.mean[at..=at], &[mean], 1e-6, "mean");
            let deviation = squares.sqrt().clamp(0.05, 2.0);
            assert_close(&found.deviation[at..=at], &[deviation], 1e-5, "deviation");
        }
    }

    #[test]
    fn matches_the_formula() {
        for (environments, candidates, elites, length) in [
            (1, 1, 1, 1),
            (3, 37, 5, 7),
            (2, 257, 64, 3),
            (1, 48, 48, 10),
            (5, 13, 1, 2),
        ] {
            let kernel = kernel(environments, candidates, elites, length);
            let extents = kernel.extents();
            // Few distinct values, so that ties abound.
            let value: Vec<f32> = numbers(extents[0], 5)
                .iter()
                .map(|v| (v * 8.0).round() + 0.0)
                .collect();
            let actions = numbers(extents[1], 6);
            let found = update(kernel, &value, &actions);
            for e in 0..environments as usize {
                assert_environment(&kernel, e, &found, &value, &actions);
            }
        }
    }

    #[test]
    fn an_environment_alone_gives_the_same_bits() {
        let all = kernel(5, 41, 7, 3);
        let value = numbers(5 * 41, 1);
        let actions = numbers(5 * 41 * 3, 2);
        let whole = update(all, &value, &actions);
        for e in 0..5 {
            let one = MppiUpdate {
                environments: 1,
                ..all
            };
            let alone = update(one, &value[e * 41..][..41], &actions[e * 123..][..123]);
            assert_eq!(alone.mean, whole.mean[e * 3..][..3]);
            assert_eq!(alone.deviation, whole.deviation[e * 3..][..3]);
            assert_eq!(alone.score, whole.score[e * 7..][..7]);
            assert_eq!(alone.elite, whole.elite[e * 7..][..7]);
        }
    }

    #[test]
    fn what_is_no_number_counts_as_zero() {
        let value = [f32::NAN, -1.0, 2.0, -f32::NAN, f32::NEG_INFINITY, 0.0];
        let found = update(kernel(1, 6, 5, 1), &value, &[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]);
        assert_eq!(found.elite, [2, 0, 3, 5, 1]);
        assert_eq!(found.value, [0.0, -1.0, 2.0, 0.0, -f32::MAX, 0.0]);
        assert!(found.score.iter().chain(&found.mean).all(|v| v.is_finite()));
        // Infinite values: the best there is, and finite scores all the same.
        let found = update(
            kernel(1, 3, 2, 1),
            &[1.0, f32::INFINITY, f32::INFINITY],
            &[0.1, 0.2, 0.4],
        );
        assert_eq!(found.elite, [1, 2]);
        assert_eq!(found.score, [0.5, 0.5]);
        assert!((found.mean[0] - 0.3).abs() < 1e-6);
        let found = update(kernel(1, 3, 3, 1), &[f32::NAN; 3], &[0.1, 0.2, 0.3]);
        assert_eq!(found.elite, [0, 1, 2]);
    }

    #[test]
    fn exact_ties_go_to_the_lower_index() {
        let found = update(
            kernel(1, 6, 3, 1),
            &[-0.0, 5.0, 0.0, 5.0, 0.0, 5.0],
            &[0.0; 6],
        );
        assert_eq!(found.elite, [1, 3, 5]);
        let found = update(kernel(1, 4, 3, 1), &[0.0, -0.0, 0.0, -0.0], &[0.0; 4]);
        assert_eq!(found.elite, [0, 1, 2]);
        assert_eq!(found.deviation, [0.05]);
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = kernel(2, 10, 4, 3);
        good.check().unwrap();
        assert_eq!(good.cost().flops, 20 + 16 * 8 + 6 * 24);
        assert_eq!(good.cost().bytes, (40 + 24 + 12 + 16) * 4);
        assert_refuses(
            MppiUpdate {
                environments: 0,
                ..good
            },
            "environments",
        );
        assert_refuses(
            MppiUpdate {
                candidates: 0,
                ..good
            },
            "candidates",
        );
        assert_refuses(MppiUpdate { elites: 0, ..good }, "elites");
        assert_refuses(MppiUpdate { elites: 11, ..good }, "elites");
        assert_refuses(MppiUpdate { length: 0, ..good }, "length");
        for temperature in [-1.0, f32::NAN, f32::INFINITY] {
            assert_refuses(
                MppiUpdate {
                    temperature,
                    ..good
                },
                "temperature",
            );
        }
        assert_refuses(
            MppiUpdate {
                least: -0.1,
                ..good
            },
            "least",
        );
        assert_refuses(MppiUpdate { most: 0.01, ..good }, "most");
    }
}
