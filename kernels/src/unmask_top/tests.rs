use super::*;
use crate::View;
use crate::test_support::{assert_refuses, numbers, run};

const MASK: u32 = 12;

struct Case {
    kernel: UnmaskTop,
    tokens: Vec<u32>,
    prediction: Vec<u32>,
    confidence: Vec<f32>,
    uniforms: Vec<f32>,
    schedule: Vec<f32>,
    locked: Vec<u32>,
}

struct Outcome {
    tokens: Vec<u32>,
    decision: Vec<u32>,
    probability: Vec<f32>,
}

impl Case {
    /// Random contents with ties, of which about half is masked.
    fn random(batch: u32, length: u32, strategy: RemaskStrategy) -> Self {
        let count = (batch * length) as usize;
        let unit = |seed| numbers(count, seed).into_iter().map(|x| 0.5 * (x + 1.0));
        let kernel = UnmaskTop::greedy(batch, length, MASK, 3).with_remasking(strategy);
        let wanted = UnmaskTop::schedule_row(length / 3 + 1, 0.4);
        let mut schedule = vec![f32::NAN; 6];
        schedule[2..4].copy_from_slice(&wanted);
        Self {
            kernel: UnmaskTop {
                flags: kernel.flags
                    | UnmaskTop::LOCKED
                    | UnmaskTop::DECISION
                    | UnmaskTop::REMASK_PROBABILITY,
                ..kernel.at_step(1)
            },
            tokens: unit(1)
                .map(|u| if u < 0.5 { MASK } else { (u * 12.0) as u32 })
                .collect(),
            prediction: unit(2).map(|u| (u * 12.0) as u32).collect(),
            confidence: unit(3).map(|u| (u * 16.0).floor() / 16.0).collect(),
            uniforms: unit(4).collect(),
            schedule,
            locked: (0..batch).map(|b| b * 5 % (length + 1)).collect(),
        }
    }

    fn run(&self) -> Outcome {
        let mut outcome = Outcome {
            tokens: self.tokens.clone(),
            decision: vec![99; self.tokens.len()],
            probability: vec![99.0; self.tokens.len()],
        };
        let has = |flag| self.kernel.flags & flag != 0;
        let views = vec![
            View::WordMut(&mut outcome.tokens),
            View::Word(&self.prediction),
            View::Float(&self.confidence),
            View::Float(&self.schedule),
            if has(UnmaskTop::REMASK) {
                View::Float(&self.uniforms)
            } else {
                View::Absent
            },
            if has(UnmaskTop::LOCKED) {
                View::Word(&self.locked)
            } else {
                View::Absent
            },
            if has(UnmaskTop::DECISION) {
                View::WordMut(&mut outcome.decision)
            } else {
                View::Absent
            },
            if has(UnmaskTop::REMASK_PROBABILITY) {
                View::FloatMut(&mut outcome.probability)
            } else {
                View::Absent
            },
        ];
        run(self.kernel, views).unwrap();
        outcome
    }
}

#[test]
fn commits_the_surest_and_remasks_by_probability() {
    for (batch, length) in [(1, 1), (3, 7), (5, 64), (2, 67), (1, 300)] {
        for strategy in [RemaskStrategy::CONSTANT, RemaskStrategy::CONFIDENCE] {
            let case = Case::random(batch, length, strategy);
            let found = case.run();
            let wanted = length / 3 + 1;
            let length = length as usize;
            for at in 0..case.tokens.len() {
                let row = at / length * length..(at / length + 1) * length;
                let ahead = row
                    .filter(|&j| case.tokens[j] == MASK)
                    .filter(|&j| {
                        let (own, other) = (case.confidence[at], case.confidence[j]);
                        other > own || (other == own && j < at)
                    })
                    .count();
                let commits = case.tokens[at] == MASK && ahead < wanted as usize;
                let unmasked = if commits {
                    case.prediction[at]
                } else {
                    case.tokens[at]
                };
                let chance = match strategy {
                    RemaskStrategy::CONFIDENCE => 0.4 * (1.0 - case.confidence[at]),
                    _ => 0.4,
                };
                let free = at % length >= case.locked[at / length] as usize;
                let remasks = unmasked != MASK && free && case.uniforms[at] < chance;
                assert_eq!(found.tokens[at], if remasks { MASK } else { unmasked });
                let bits = u32::from(commits) | u32::from(remasks) << 1;
                assert_eq!(found.decision[at], bits | unmasked << 8);
                assert_eq!(found.probability[at], chance);
            }
        }
    }
}

#[test]
fn counts_alone_are_the_greedy_sampler() {
    let mut case = Case::random(4, 33, RemaskStrategy::CONSTANT);
    case.kernel.flags = 0;
    case.schedule[2..4].copy_from_slice(&UnmaskTop::schedule_row(33, 0.0));
    let found = case.run();
    for (at, token) in found.tokens.iter().enumerate() {
        let before = case.tokens[at];
        assert_eq!(
            *token,
            if before == MASK {
                case.prediction[at]
            } else {
                before
            }
        );
    }
    assert!(found.decision.iter().all(|&d| d == 99));
}

#[test]
fn what_cannot_be_trusted_stays_masked() {
    let mut case = Case::random(1, 4, RemaskStrategy::CONFIDENCE);
    case.tokens = vec![MASK, MASK, MASK, 3];
    case.prediction = vec![NO_TOKEN, 1, 2, 4];
    case.confidence = vec![0.9, f32::NAN, 0.1, f32::NAN];
    case.uniforms = vec![0.0, 0.0, 0.95, 0.0];
    case.locked = vec![0];
    case.schedule[2..4].copy_from_slice(&[4.0, 1.0]);
    // Position 2 commits and is then remasked with probability 0.9.
    assert_eq!(case.run().tokens, [MASK, MASK, 2, 3]);
    case.uniforms[2] = 0.85;
    assert_eq!(case.run().tokens, [MASK, MASK, MASK, 3]);
}

#[test]
fn refuses_what_it_is_not_defined_for() {
    let good = UnmaskTop::greedy(2, 64, MASK, 5);
    assert!(good.check().is_ok());
    assert_refuses(UnmaskTop { batch: 0, ..good }, "batch");
    assert_refuses(
        UnmaskTop {
            batch: u32::MAX,
            ..good
        },
        "batch",
    );
    assert_refuses(UnmaskTop { length: 0, ..good }, "length");
    assert_refuses(
        UnmaskTop {
            length: 1025,
            ..good
        },
        "length",
    );
    assert_refuses(
        UnmaskTop {
            mask_token: 1 << 24,
            ..good
        },
        "mask_token",
    );
    assert_refuses(UnmaskTop { steps: 0, ..good }, "steps");
    assert_refuses(good.at_step(5), "step");
    assert_refuses(UnmaskTop { flags: 16, ..good }, "flags");
    let flags = UnmaskTop::REMASK_PROBABILITY;
    assert_refuses(UnmaskTop { flags, ..good }, "flags");
    let strategy = RemaskStrategy(2);
    assert_refuses(UnmaskTop { strategy, ..good }, "strategy");
}
