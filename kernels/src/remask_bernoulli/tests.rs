use super::*;
use crate::test_support::{assert_refuses, numbers, run, widen};
use crate::{AnyKernel, Scalar, View};

const MASK: u32 = 12;

struct Case {
    kernel: RemaskBernoulli,
    tokens: Vec<u32>,
    psi: Vec<f32>,
    prediction: Vec<u32>,
    decode_probability: Vec<f32>,
    uniforms: Vec<f32>,
    schedule: Vec<f32>,
    locked: Vec<u32>,
}

struct Outcome<T> {
    tokens: Vec<u32>,
    psi: Vec<T>,
    trace: Vec<T>,
}

impl Case {
    fn random(batch: u32, length: u32, strategy: RemaskStrategy) -> Self {
        let count = (batch * length) as usize;
        let unit = |count, seed| numbers(count, seed).into_iter().map(|x| 0.5 * (x + 1.0));
        let tokens: Vec<u32> = unit(count, 1)
            .map(|u| if u < 0.5 { MASK } else { (u * 12.0) as u32 })
            .collect();
        let locked: Vec<u32> = (0..batch).map(|b| b * 5 % (length + 1)).collect();
        let psi = unit(count, 2).enumerate().map(|(at, u)| {
            let free = at % length as usize >= locked[at / length as usize] as usize;
            let held = tokens[at] != MASK && free;
            if held { u } else { f32::INFINITY }
        });
        let mut schedule = vec![f32::NAN; 9];
        schedule[3..6].copy_from_slice(&RemaskBernoulli::schedule_row(0.4, 0.5, 0.6));
        Self {
            psi: psi.collect(),
            prediction: unit(count, 3).map(|u| (u * 12.0) as u32).collect(),
            decode_probability: unit(count, 4).collect(),
            uniforms: unit(2 * count, 5).collect(),
            kernel: RemaskBernoulli {
                flags: RemaskBernoulli::LOCKED | RemaskBernoulli::TRACE,
                ..RemaskBernoulli::new(batch, length, MASK, 3, strategy).at_step(1)
            },
            tokens,
            schedule,
            locked,
        }
    }

    fn run<T: Scalar>(&self) -> Outcome<T> {
        let convert = |x: &[f32]| x.iter().map(|&x| T::from_f32(x)).collect::<Vec<T>>();
        let [decode, uniforms, schedule] =
            [&self.decode_probability, &self.uniforms, &self.schedule].map(|x| convert(x));
        let mut outcome = Outcome {
            tokens: self.tokens.clone(),
            psi: convert(&self.psi),
            trace: vec![T::ONE; 3 * self.tokens.len()],
        };
        let views = vec![
            View::WordMut(&mut outcome.tokens),
            View::FloatMut(&mut outcome.psi),
            View::Word(&self.prediction),
            View::Float(&decode),
            View::Float(&uniforms),
            View::Float(&schedule),
            if self.kernel.has(RemaskBernoulli::LOCKED) {
                View::Word(&self.locked)
            } else {
                View::Absent
            },
            if self.kernel.has(RemaskBernoulli::TRACE) {
                View::FloatMut(&mut outcome.trace)
            } else {
                View::Absent
            },
        ];
        run(self.kernel, views).unwrap();
        outcome
    }
}

/// Algorithm 1 position by position, in double precision.
fn reference(case: &Case, row: usize, i: usize) -> (f64, f64) {
    let length = case.kernel.length as usize;
    let shares = |j: usize| {
        let other = row * length + j;
        j >= case.locked[row] as usize && case.tokens[other] != MASK && case.psi[other].is_finite()
    };
    let free = i >= case.locked[row] as usize;
    let sigma = if case.kernel.strategy == RemaskStrategy::CONFIDENCE {
        let weight = |j: usize| (-f64::from(case.psi[row * length + j])).exp();
        let total: f64 = (0..length).filter(|&j| shares(j)).map(weight).sum();
        if shares(i) {
            0.6 * weight(i) / total
        } else {
            0.0
        }
    } else if free {
        0.6
    } else {
        0.0
    };
    (
        sigma,
        ((0.5 - (1.0 - sigma) * 0.4) / 0.6f64).clamp(0.0, 1.0),
    )
}

#[test]
fn follows_the_algorithm_on_odd_sizes() {
    for (batch, length) in [(1, 1), (3, 7), (5, 64), (2, 67), (1, 300)] {
        for strategy in [RemaskStrategy::CONSTANT, RemaskStrategy::CONFIDENCE] {
            let case = Case::random(batch, length, strategy);
            let found = case.run::<f32>();
            let plane = case.tokens.len();
            let mut changes = 0;
            for at in 0..plane {
                let (row, i) = (at / length as usize, at % length as usize);
                let (sigma, chance) = reference(&case, row, i);
                assert!((f64::from(found.trace[at]) - sigma).abs() < 1e-6);
                assert!((f64::from(found.trace[plane + at]) - chance).abs() < 1e-6);
                let free = i >= case.locked[row] as usize;
                let draw = 2 * row * length as usize + i;
                let masked = case.tokens[at] == MASK;
                let commits = free && masked && f64::from(case.uniforms[draw]) < chance;
                let u2 = f64::from(case.uniforms[draw + length as usize]);
                let remasks = free && !masked && u2 < sigma;
                let expected = if commits {
                    (case.prediction[at], case.decode_probability[at], 1.0)
                } else if remasks {
                    (MASK, f32::INFINITY, 2.0)
                } else {
                    (case.tokens[at], case.psi[at], 0.0)
                };
                let found = (found.tokens[at], found.psi[at], found.trace[2 * plane + at]);
                assert_eq!(found, expected);
                changes += usize::from(commits || remasks);
            }
            assert!(changes > 0 || length < 64);
        }
    }
}

#[test]
fn both_precisions_decide_alike() {
    let case = Case::random(7, 64, RemaskStrategy::CONFIDENCE);
    let (single, double) = (case.run::<f32>(), case.run::<f64>());
    assert_eq!(single.tokens, double.tokens);
    assert_eq!(widen(&single.psi), double.psi);
}

#[test]
fn a_row_does_not_depend_on_its_batch() {
    let case = Case::random(6, 67, RemaskStrategy::CONFIDENCE);
    let whole = case.run::<f32>();
    for row in 0..6 {
        let part = |x: &[f32], width: usize| x[row * width..(row + 1) * width].to_vec();
        let alone = Case {
            kernel: RemaskBernoulli {
                batch: 1,
                ..case.kernel
            },
            tokens: case.tokens[row * 67..][..67].to_vec(),
            psi: part(&case.psi, 67),
            prediction: case.prediction[row * 67..][..67].to_vec(),
            decode_probability: part(&case.decode_probability, 67),
            uniforms: part(&case.uniforms, 134),
            schedule: case.schedule.clone(),
            locked: vec![case.locked[row]],
        };
        let alone = alone.run::<f32>();
        assert_eq!(alone.tokens, whole.tokens[row * 67..][..67]);
        assert_eq!(alone.trace[..67], whole.trace[row * 67..][..67]);
    }
}

#[test]
fn what_cannot_be_trusted_stays_masked() {
    let mut case = Case::random(1, 3, RemaskStrategy::CONFIDENCE);
    case.locked = vec![0];
    case.tokens = vec![MASK; 3];
    case.psi = vec![f32::INFINITY; 3];
    case.prediction = vec![NO_TOKEN, 5, 7];
    case.decode_probability = vec![0.5, f32::NAN, 0.25];
    case.uniforms = vec![0.0; 6];
    let found = case.run::<f32>();
    assert_eq!(found.tokens, [MASK, MASK, 7]);
    assert_eq!(found.psi, [f32::INFINITY, f32::INFINITY, 0.25]);
    assert!(found.trace.iter().all(|x| x.is_finite()));
}

#[test]
fn a_step_to_no_noise_commits_everything() {
    let mut case = Case::random(2, 65, RemaskStrategy::CONSTANT);
    case.kernel.flags = 0;
    for (alpha, strategy) in [(0.0, 0), (0.9, 1), (0.999, 0), (1.0 - 1e-6, 1)] {
        case.kernel.strategy = RemaskStrategy(strategy);
        let sigma = RemaskBernoulli::largest_sigma(alpha, 1.0);
        let row = RemaskBernoulli::schedule_row(alpha, 1.0, sigma);
        assert_eq!((row[0], row[2]), (1.0, 0.0));
        case.schedule[3..6].copy_from_slice(&row);
        let largest = 1.0 - f32::EPSILON / 2.0;
        case.uniforms.fill(largest);
        assert!(case.run::<f32>().tokens.iter().all(|&t| t != MASK));
    }
}

#[test]
fn schedule_rows_are_the_papers_probability() {
    for (alpha_t, alpha_s, sigma) in [(0.0, 0.1, 1.0), (0.3, 0.4, 0.2), (0.9, 0.9, 0.02)] {
        let [base, gain, held] = RemaskBernoulli::schedule_row(alpha_t, alpha_s, sigma);
        let found = f64::from(base) + f64::from(gain) * f64::from(held);
        let exact = (alpha_s - (1.0 - sigma) * alpha_t) / (1.0 - alpha_t);
        assert!((found - exact).abs() < 1e-7);
    }
    assert_eq!(RemaskBernoulli::largest_sigma(0.0, 0.1), 1.0);
    assert!((RemaskBernoulli::largest_sigma(0.8, 0.9) - 0.125).abs() < 1e-12);
}

#[test]
fn refuses_what_it_is_not_defined_for() {
    let good = RemaskBernoulli::new(2, 64, MASK, 5, RemaskStrategy::CONSTANT);
    assert!(good.check().is_ok());
    assert_refuses(RemaskBernoulli { batch: 0, ..good }, "batch");
    assert_refuses(
        RemaskBernoulli {
            batch: u32::MAX,
            ..good
        },
        "batch",
    );
    assert_refuses(RemaskBernoulli { length: 0, ..good }, "length");
    let mask_token = NO_TOKEN;
    assert_refuses(RemaskBernoulli { mask_token, ..good }, "mask_token");
    assert_refuses(RemaskBernoulli { steps: 0, ..good }, "steps");
    assert_refuses(good.at_step(5), "step");
    assert_refuses(RemaskBernoulli { flags: 4, ..good }, "flags");
    let strategy = RemaskStrategy(2);
    assert_refuses(RemaskBernoulli { strategy, ..good }, "strategy");
    let mut operands = Operands::<f32>::new(
        RemaskBernoulli::NAME,
        RemaskBernoulli::OPERANDS,
        vec![View::Absent],
        false,
    );
    assert!(AnyKernel::from(good).twin(&mut operands).is_err());
}
