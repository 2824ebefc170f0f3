//! Value and cut of candidate plans, state after state of a rollout.

use crate::addressing::require_positive;
use crate::{
    Capabilities, Cost, Kernel, KernelError, Launch, Operand, Operands, Real, element_count,
    linear_workgroups,
};
use bytemuck::{Pod, Zeroable};
use rayon::prelude::*;
use serde::Serialize;

/// How a state is scored, as a word that the shader branches on; lower is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Pod, Zeroable, Serialize)]
#[repr(transparent)]
pub struct PlanScore(u32);

impl PlanScore {
    /// Sum of absolute differences to the goal over the listed columns.
    pub const MANHATTAN: Self = Self(0);
    /// Minus the sum of the listed columns.
    pub const NEGATIVE_SUM: Self = Self(1);
    /// Euclidean norm of the listed columns.
    pub const NORM: Self = Self(2);
}

/// Scores the newest state of every row and keeps the lowest score of a rollout so far, with the number of
/// actions after which a plan that follows the row ends: the latest step if its state attains the lowest
/// score, else the first one that does.
///
/// Operands: `state` `[rows, width]`; `goal` `[rows / candidates, width]`, for
/// [`PlanScore::MANHATTAN`]; `value` `[rows]` and `cut` words `[rows, 2]` (cut, first step of the minimum,
/// both from 1) in place; with [`PlanTrack::LENGTHS`], `length` words `[rows / candidates]`. Step 0 starts
/// afresh, whatever they hold; later steps leave alone the rows whose length they reach. A score that is NaN
/// is above every number.
#[derive(Debug, Clone, Copy, PartialEq, Pod, Zeroable, Serialize)]
#[repr(C)]
pub struct PlanTrack {
    /// Rollouts.
    pub rows: u32,
    /// Successive rows that share a goal.
    pub candidates: u32,
    /// Numbers of a state.
    pub width: u32,
    /// How a state is scored.
    pub score: PlanScore,
    /// Columns that the score reads, bit by bit: the first 32 columns can be listed.
    pub columns: u32,
    /// Iteration; set by [`Kernel::at_step`].
    pub step: u32,
    /// Bit set of [`PlanTrack::LENGTHS`].
    pub flags: u32,
}

impl PlanTrack {
    /// Flag: rollouts end after steps of their own.
    pub const LENGTHS: u32 = 1;

    /// The score of states by some columns, at step 0.
    pub fn new(rows: u32, candidates: u32, width: u32, (score, columns): (PlanScore, u32)) -> Self {
        Self {
            rows,
            candidates,
            width,
            score,
            columns,
            step: 0,
            flags: 0,
        }
    }

    fn score_of<T: Real>(&self, state: &[T], goal: &[T]) -> T {
        let listed = (0..u32::BITS).filter(|column| self.columns >> column & 1 == 1);
        let mut sum = T::ZERO;
        for column in listed {
            let x = state.get(column as usize).copied().unwrap_or(T::NAN);
            sum += match self.score {
                PlanScore::MANHATTAN => {
                    (x - goal.get(column as usize).copied().unwrap_or(T::NAN)).abs()
                }
                PlanScore::NEGATIVE_SUM => x,
                _ => x * x,
            };
        }
        match self.score {
            PlanScore::MANHATTAN => sum,
            PlanScore::NEGATIVE_SUM => -sum,
            _ => sum.sqrt(),
        }
    }
}

/// Whether `a` is lower than `b`, where NaN is above every number.
pub(crate) fn is_lower<T: Real>(a: T, b: T) -> bool {
    !a.is_nan() && (b.is_nan() || a < b)
}

impl Kernel for PlanTrack {
    const NAME: &'static str = "plan_track";
    const SHADER: &'static str = include_str!("../../shaders/plan_track.wgsl");
    const OPERANDS: &'static [Operand] = &[
        Operand::input("state"),
        Operand::input("goal").optional(),
        Operand::output("value").in_place(),
        Operand::output("cut").words().in_place(),
        Operand::input("length").words().optional(),
    ];

    fn check(&self) -> Result<(), KernelError> {
        let refuse = |parameter, expected: &str, found: u32| {
            Err(KernelError::parameter(
                Self::NAME,
                parameter,
                expected,
                found,
            ))
        };
        require_positive(
            Self::NAME,
            &[
                ("rows", self.rows),
                ("candidates", self.candidates),
                ("width", self.width),
            ],
        )?;
        if !self.rows.is_multiple_of(self.candidates) {
            return refuse("candidates", "a divisor of the rows", self.candidates);
        }
        if self.score.0 > PlanScore::NORM.0 {
            return refuse("score", "0..=2", self.score.0);
        }
        let beyond = self.width < u32::BITS && self.columns >> self.width != 0;
        if self.columns == 0 || beyond {
            return refuse("columns", "bits of columns that there are", self.columns);
        }
        if self.flags > Self::LENGTHS {
            return refuse("flags", "0 or 1", self.flags);
        }
        if element_count(&[self.rows, self.width]) > u32::MAX as usize {
            return refuse("rows", "at most 2^32 - 1 numbers in all", self.rows);
        }
        Ok(())
    }

    fn extents(&self) -> Vec<usize> {
        let goals = match self.score {
            PlanScore::MANHATTAN => {
                element_count(&[self.rows / self.candidates.max(1), self.width])
            }
            _ => 0,
        };
        let lengths = match self.flags & Self::LENGTHS {
            0 => 0,
            _ => (self.rows / self.candidates.max(1)) as usize,
        };
        vec![
            element_count(&[self.rows, self.width]),
            goals,
            self.rows as usize,
            element_count(&[self.rows, 2]),
            lengths,
        ]
    }

    fn cost(&self) -> Cost {
        let rows = u64::from(self.rows);
        let columns = u64::from(self.columns.count_ones());
        Cost {
            flops: rows * (2 * columns + 1),
            bytes: 4 * rows * (columns + 5),
        }
    }

    fn launch(&self, _capabilities: &Capabilities) -> Launch {
        Launch {
            entry_point: "main",
            workgroups: linear_workgroups(self.rows as usize, 64),
        }
    }

    fn at_step(&self, step: u32) -> Self {
        Self { step, ..*self }
    }

    fn twin<T: Real>(&self, operands: &mut Operands<'_, T>) -> Result<(), KernelError> {
        let (rows, width) = (self.rows as usize, self.width as usize);
        let state = operands.float(0)?;
        let goal = operands.float_or_empty(1)?;
        let value = operands.float_mut(2)?;
        let cut = operands.words_mut(3)?;
        let lengths = operands.words_or_empty(4)?;
        let now = self.step.saturating_add(1);
        let body = |row: usize, state: &[T], best: &mut T, cut: &mut [u32]| {
            let group = row / self.candidates as usize;
            if self.step > 0
                && lengths
                    .get(group)
                    .is_some_and(|length| *length <= self.step)
            {
                return;
            }
            let start = group * width;
            let goal = goal.get(start..start + width).unwrap_or(&[]);
            let score = self.score_of(state, goal);
            let [end, first] = cut else { return };
            if self.step == 0 || is_lower(score, *best) {
                (*best, *end, *first) = (score, now, now);
            } else if score == *best {
                *end = now;
            } else {
                *end = *first;
            }
        };
        let states = state.chunks_exact(width);
        if operands.parallel && rows > 4096 {
            let items = value.par_iter_mut().zip(cut.par_chunks_exact_mut(2));
            let items = items.zip(state.par_chunks_exact(width)).enumerate();
            items
                .with_min_len(1024)
                .take(rows)
                .for_each(|(row, ((best, cut), state))| body(row, state, best, cut));
            return Ok(());
        }
        let items = value.iter_mut().zip(cut.chunks_exact_mut(2)).zip(states);
        for (row, ((best, cut), state)) in items.enumerate().take(rows) {
            body(row, state, best, cut);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{PlanScore, PlanTrack};
    use crate::test_support::{assert_refuses, run};
    use crate::{Kernel, View};

    /// Value, cut and first step after a rollout of one row with these scores.
    fn after(scores: &[f64]) -> (f64, [u32; 2]) {
        let kernel = PlanTrack::new(1, 1, 1, (PlanScore::NEGATIVE_SUM, 1));
        let (mut value, mut cut) = ([-7.0], [9, 9]);
        for (step, score) in scores.iter().enumerate() {
            let state = [-score];
            let views = vec![
                View::Float(&state),
                View::Absent,
                View::FloatMut(&mut value),
                View::WordMut(&mut cut),
                View::Absent,
            ];
            run(kernel.at_step(step as u32), views).unwrap();
        }
        (value[0], cut)
    }

    #[test]
    fn the_cut_is_the_last_state_where_it_attains_the_minimum_else_the_first() {
        assert_eq!(after(&[3.0]), (3.0, [1, 1]));
        assert_eq!(after(&[3.0, 3.0, 3.0]), (3.0, [3, 1]));
        assert_eq!(after(&[3.0, 1.0, 2.0, 1.0, 2.0]), (1.0, [2, 2]));
        assert_eq!(after(&[3.0, 1.0, 2.0, 1.0]), (1.0, [4, 2]));
        assert_eq!(after(&[2.0, 1.0, 0.5, 4.0]), (0.5, [3, 3]));
    }

    #[test]
    fn what_is_not_a_number_is_above_all_numbers() {
        let (nan, infinite) = (f64::NAN, f64::INFINITY);
        assert_eq!(after(&[nan, 4.0, nan]), (4.0, [2, 2]));
        assert_eq!(after(&[infinite, nan]), (infinite, [1, 1]));
        assert!(after(&[nan, nan]).0.is_nan());
    }

    #[test]
    fn scores() {
        let state = [3.0f64, -4.0, 7.0, 1.0, 2.0, 5.0];
        let goal = [1.0f64, 1.0, 100.0];
        let value = |score: PlanScore, columns: u32| {
            let kernel = PlanTrack::new(2, 2, 3, (score, columns));
            let (mut value, mut cut) = ([0.0; 2], [0; 4]);
            let goal = match score {
                PlanScore::MANHATTAN => View::Float(&goal[..]),
                _ => View::Absent,
            };
            let (value_view, cut_view) = (View::FloatMut(&mut value), View::WordMut(&mut cut));
            run(
                kernel,
                vec![
                    View::Float(&state),
                    goal,
                    value_view,
                    cut_view,
                    View::Absent,
                ],
            )
            .unwrap();
            value
        };
        assert_eq!(value(PlanScore::MANHATTAN, 0b011), [7.0, 1.0]);
        assert_eq!(value(PlanScore::NEGATIVE_SUM, 0b110), [-3.0, -7.0]);
        assert_eq!(value(PlanScore::NORM, 0b011), [5.0, 5f64.sqrt()]);
    }

    #[test]
    fn rows_end_after_their_own_steps() {
        let kernel = PlanTrack {
            flags: PlanTrack::LENGTHS,
            ..PlanTrack::new(3, 1, 1, (PlanScore::NEGATIVE_SUM, 1))
        };
        let (mut value, mut cut) = ([0.0f64; 3], [0; 6]);
        for step in 0..3 {
            let state = [f64::from(step); 3];
            let views = vec![
                View::Float(&state),
                View::Absent,
                View::FloatMut(&mut value),
                View::WordMut(&mut cut),
                View::Word(&[1, 2, 9]),
            ];
            run(kernel.at_step(step), views).unwrap();
        }
        assert_eq!(value, [0.0, -1.0, -2.0]);
        assert_eq!(cut, [1, 1, 2, 2, 3, 3]);
    }

    #[test]
    fn bad_parameters_and_cost() {
        let good = PlanTrack::new(6, 3, 4, (PlanScore::NORM, 0b1100));
        good.check().unwrap();
        assert_eq!((good.cost().flops, good.cost().bytes), (30, 168));
        assert_refuses(PlanTrack { rows: 0, ..good }, "rows");
        assert_refuses(PlanTrack { width: 0, ..good }, "width");
        assert_refuses(
            PlanTrack {
                candidates: 4,
                ..good
            },
            "candidates",
        );
        assert_refuses(PlanTrack { columns: 0, ..good }, "columns");
        assert_refuses(
            PlanTrack {
                columns: 16,
                ..good
            },
            "columns",
        );
        let score = PlanScore(3);
        assert_refuses(PlanTrack { score, ..good }, "score");
    }
}
