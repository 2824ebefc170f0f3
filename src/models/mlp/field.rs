//! A perceptron of state and time as a velocity field.

use super::{Mlp, MlpError, misfit};
use crate::graph::layers::size;
use crate::graph::{Graph, TensorId, TensorKind};
use crate::models::field::{Evaluation, Time, Times, VelocityField};
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::elementwise::{Elementwise, Operation};

/// `v(x, t) = mlp([x; t])`: the plain decoder of conditional flow matching, without a condition.
#[derive(Debug)]
pub struct MlpField<'a> {
    mlp: &'a Mlp,
    rows: usize,
    times: Option<TensorId>,
}

impl<'a> MlpField<'a> {
    /// A field over `rows` states.
    ///
    /// # Errors
    /// [`MlpError`] if the perceptron does not take one number more than it gives, or there are no rows.
    pub fn new(mlp: &'a Mlp, rows: usize) -> Result<Self, MlpError> {
        let (inputs, outputs) = (mlp.inputs(), mlp.outputs());
        if inputs != outputs.saturating_add(1) {
            let expected = format!("{} inputs, the state and the time", outputs + 1);
            return Err(misfit(mlp.file(), "velocity field", expected, inputs));
        }
        if rows == 0 {
            return Err(misfit(mlp.file(), "velocity field", "at least one row", 0));
        }
        Ok(Self {
            mlp,
            rows,
            times: None,
        })
    }

    /// The input `[entries]` of a schedule's times, once prepared with one.
    pub fn times(&self) -> Option<TensorId> {
        self.times
    }

    /// The tensor of the times of an evaluation, its first element, elements between rows and steps.
    fn time(
        &self,
        graph: &mut Graph,
        at: &Evaluation<'_>,
    ) -> Option<(TensorId, usize, usize, usize)> {
        match at.time {
            Time::Scheduled { first, per_step } => Some((self.times?, first, 0, per_step)),
            Time::EntryOfRow => Some((self.times?, 0, 1, 0)),
            Time::PerRow {
                time,
                step_size: None,
                ..
            } => Some((time, 0, 1, 0)),
            Time::PerRow {
                time,
                step_size: Some(step_size),
                node: (numerator, denominator),
            } => {
                let rows = size(self.rows);
                let name = format!("{}fraction", at.label);
                let one = graph
                    .find("one")
                    .unwrap_or_else(|| graph.constant_f64("one", &[1], vec![1.0]));
                let fraction = graph.float(&name, &[self.rows], TensorKind::Intermediate);
                // As a division, so that double precision has the fraction in double precision.
                let divide = Elementwise {
                    alpha: numerator as f32,
                    beta: denominator as f32,
                    ..Elementwise::broadcast(
                        Operation::DIVIDE,
                        [1, 1, 1, rows],
                        [0, 0, 0, 1],
                        [0; 4],
                    )
                };
                let operands = [Some(step_size), Some(one), Some(fraction)];
                graph.push(at.phase, name, divide, &operands);
                let name = format!("{}time", at.label);
                let sum = graph.float(&name, &[self.rows], TensorKind::Intermediate);
                let add = Elementwise::contiguous(Operation::ADD, rows);
                let operands = [Some(time), Some(fraction), Some(sum)];
                graph.push(at.phase, name, add, &operands);
                Some((sum, 0, 1, 0))
            }
        }
    }
}

impl VelocityField for MlpField<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn width(&self) -> usize {
        self.mlp.outputs()
    }

    fn prepare(&mut self, graph: &mut Graph, times: Times) {
        if let Times::Scheduled(entries) = times {
            self.times = Some(graph.float("in.times", &[entries], TensorKind::Input));
        }
    }

    fn velocity(&mut self, graph: &mut Graph, at: &Evaluation<'_>) {
        let (rows, width) = (self.rows, self.mlp.outputs());
        let name = format!("{}input", at.label);
        let input = graph.float(&name, &[rows, width + 1], TensorKind::Intermediate);
        let wide = size(width + 1);
        let state = CopyFloats::strided(
            [1, 1, size(rows), size(width)],
            [0, 0, size(width), 1],
            [0, 0, wide, 1],
        );
        graph.push(at.phase, name, state, &[Some(at.x), Some(input)]);
        if let Some((times, first, per_row, per_step)) = self.time(graph, at) {
            let copy = CopyFloats {
                src_offset: size(first),
                src_step_stride: size(per_step),
                dst_offset: size(width),
                ..CopyFloats::strided(
                    [1, 1, size(rows), 1],
                    [0, 0, size(per_row), 0],
                    [0, 0, wide, 1],
                )
            };
            let name = format!("{}input_time", at.label);
            graph.push(at.phase, name, copy, &[Some(times), Some(input)]);
        }
        let place = (at.out, at.out_offset);
        self.mlp
            .forward(graph, (at.phase, at.label), rows, input, place);
    }
}
