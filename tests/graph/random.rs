//! Random graphs over the three phases: partial writes, state carried from step to step, histories,
//! tables read by step, constants, kept outputs. Nothing is read that was not written before.

use attractor::graph::{Graph, Phase, TensorId, TensorKind};
use attractor_kernels::activation::Activate;
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::matmul::MatMul;
use attractor_kernels::{Activation, AnyKernel};
use proptest::prelude::*;
use std::sync::Arc;

/// What a graph is made from.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub steps: u32,
    pub shapes: Vec<(usize, usize)>,
    pub operations: Vec<(Phase, [u16; 8])>,
}

pub fn recipes() -> impl Strategy<Value = Recipe> {
    let rows = prop::sample::select(vec![1usize, 2, 3, 5, 17]);
    let columns = prop::sample::select(vec![1usize, 4, 8, 13]);
    let phases = prop_oneof![
        2 => Just(Phase::Once),
        5 => Just(Phase::Step),
        2 => Just(Phase::Final),
    ];
    (
        1u32..5,
        prop::collection::vec((rows, columns), 14),
        prop::collection::vec((phases, any::<[u16; 8]>()), 4..40),
    )
        .prop_map(|(steps, shapes, operations)| Recipe {
            steps,
            shapes,
            operations,
        })
}

/// A graph, what the host writes, and which elements are written by anyone.
#[derive(Debug)]
pub struct Built {
    pub graph: Graph,
    pub steps: u32,
    pub inputs: Vec<(TensorId, Vec<f32>)>,
    pub defined: Vec<Vec<bool>>,
}

struct Builder {
    built: Built,
    ids: Vec<TensorId>,
    /// Elements a step of the table and of the history.
    slot: usize,
    latest: usize,
}

const TABLE: usize = 0;
const HISTORY: usize = 1;

pub fn build(recipe: &Recipe) -> Built {
    let mut builder = Builder::new(recipe);
    let mut ordered = recipe.operations.clone();
    ordered.sort_by_key(|(phase, _)| *phase);
    let mut loop_done = false;
    for (number, (phase, choice)) in ordered.into_iter().enumerate() {
        if phase == Phase::Final && !loop_done {
            builder.finish_history();
            loop_done = true;
        }
        builder.operation(number, phase, choice);
    }
    if !loop_done {
        builder.finish_history();
    }
    builder.built
}

impl Builder {
    fn new(recipe: &Recipe) -> Self {
        use TensorKind::{Input, Intermediate, Output, State};
        let kinds = [
            Input,
            Intermediate,
            Input,
            Input,
            State,
            State,
            Output,
            Output,
            Intermediate,
            Intermediate,
            Intermediate,
            Intermediate,
            Intermediate,
        ];
        let (rows, columns) = recipe.shapes[0];
        let slot = rows * columns;
        let mut graph = Graph::new();
        let mut ids = Vec::new();
        let mut inputs = Vec::new();
        let mut defined = Vec::new();
        for (index, (kind, shape)) in kinds.into_iter().zip(&recipe.shapes).enumerate() {
            let steps = recipe.steps as usize;
            let shape = match index {
                TABLE | HISTORY => vec![steps, slot],
                _ => vec![shape.0, shape.1],
            };
            let length: usize = shape.iter().product();
            let id = graph.float(format!("t{index}"), &shape, kind);
            let from_host = matches!(kind, Input | State);
            if from_host {
                inputs.push((id, crate::common::values(length, index as u64)));
            }
            defined.push(vec![from_host; length]);
            ids.push(id);
        }
        let (rows, columns) = recipe.shapes[13];
        let values = crate::common::values(rows * columns, 99);
        ids.push(graph.constant("constant", &[rows, columns], Arc::new(values)));
        defined.push(vec![true; rows * columns]);
        Self {
            built: Built {
                graph,
                steps: recipe.steps,
                inputs,
                defined,
            },
            ids,
            slot,
            latest: TABLE,
        }
    }

    fn length(&self, tensor: usize) -> usize {
        self.built.defined[tensor].len()
    }

    fn is_defined(&self, tensor: usize, first: usize, count: usize) -> bool {
        self.built.defined[tensor][first..first + count]
            .iter()
            .all(|d| *d)
    }

    /// A tensor to read: the last one written half of the time, so that chains arise.
    fn source(&self, choice: u16) -> usize {
        if choice.is_multiple_of(2) {
            self.latest
        } else {
            usize::from(choice) / 2 % self.ids.len()
        }
    }

    /// A tensor to write: any but the constant and the history.
    fn target(&self, choice: u16) -> usize {
        let tensor = usize::from(choice) % (self.ids.len() - 1);
        if tensor == HISTORY { 6 } else { tensor }
    }

    /// Appends a node; a label that ends in `!` says that it writes all of its output.
    fn push(
        &mut self,
        (number, phase): (usize, Phase),
        kernel: impl Into<AnyKernel>,
        operands: &[Option<usize>],
        (first, count): (usize, usize),
    ) {
        let target = operands.last().copied().flatten().expect("an output");
        let whole = first == 0 && count == self.length(target);
        let label = format!("n{number}{}", if whole { "!" } else { "" });
        let ids: Vec<_> = operands.iter().map(|o| o.map(|o| self.ids[o])).collect();
        self.built.graph.push(phase, label, kernel, &ids);
        self.built.defined[target][first..first + count].fill(true);
        self.latest = target;
    }

    fn operation(&mut self, number: usize, phase: Phase, choice: [u16; 8]) {
        let at = (number, phase);
        match choice[0] % 6 {
            0 => self.copy(at, choice),
            1 => self.add(at, choice),
            2 => self.product(at, choice),
            3 => self.activate(at, choice),
            4 => self.residual(at, choice),
            _ if phase == Phase::Step && choice[1].is_multiple_of(2) => self.record(at, choice),
            _ => self.look_up(at, choice),
        }
    }

    fn copy(&mut self, at: (usize, Phase), c: [u16; 8]) {
        let (src, dst) = (self.source(c[1]), self.target(c[2]));
        let (from, to) = (self.length(src), self.length(dst));
        let count = 1 + usize::from(c[3]) % from.min(to);
        let (a, b) = (
            usize::from(c[4]) % (from - count + 1),
            usize::from(c[5]) % (to - count + 1),
        );
        if src == dst || !self.is_defined(src, a, count) {
            return;
        }
        let kernel = CopyFloats {
            src_offset: a as u32,
            dst_offset: b as u32,
            ..CopyFloats::contiguous(count as u32)
        };
        self.push(at, kernel, &[Some(src), Some(dst)], (b, count));
    }

    fn add(&mut self, at: (usize, Phase), c: [u16; 8]) {
        let (a, b, out) = (self.source(c[1]), self.source(c[2]), self.target(c[3]));
        let count = self.length(a).min(self.length(b)).min(self.length(out));
        let count = 1 + usize::from(c[4]) % count;
        let first = usize::from(c[5]) % (self.length(out) - count + 1);
        let readable = self.is_defined(a, 0, count) && self.is_defined(b, 0, count);
        if a == out || b == out || !readable {
            return;
        }
        let kernel = Elementwise {
            alpha: 0.5,
            beta: 0.5,
            out_offset: first as u32,
            ..Elementwise::contiguous(Operation::ADD, count as u32)
        };
        self.push(at, kernel, &[Some(a), Some(b), Some(out)], (first, count));
    }

    fn product(&mut self, at: (usize, Phase), c: [u16; 8]) {
        let (a, b, out) = (self.source(c[1]), self.source(c[2]), self.target(c[3]));
        let k = 1 + usize::from(c[4]) % 9.min(self.length(a)).min(self.length(b));
        let n = 1 + usize::from(c[5]) % (self.length(b) / k).min(self.length(out)).min(9);
        // All of the output where that can be, as fusion needs.
        let m = (self.length(out) / n).min(self.length(a) / k);
        if m == 0 || a == out || b == out {
            return;
        }
        if !self.is_defined(a, 0, m * k) || !self.is_defined(b, 0, n * k) {
            return;
        }
        let kernel = MatMul {
            flags: 0,
            scale: 1.0 / k as f32,
            ..MatMul::linear(m as u32, k as u32, n as u32)
        };
        let operands = [Some(a), Some(b), None, None, None, Some(out)];
        self.push(at, kernel, &operands, (0, m * n));
    }

    fn activate(&mut self, at: (usize, Phase), c: [u16; 8]) {
        let (x, y) = (self.source(c[1]), self.target(c[2]));
        let count = self.length(x).min(self.length(y));
        if x == y || !self.is_defined(x, 0, count) {
            return;
        }
        let kernel = Activate::of(Activation::TANH, count as u32);
        self.push(at, kernel, &[Some(x), Some(y)], (0, count));
    }

    /// A plain addition row by row, as after a product.
    fn residual(&mut self, at: (usize, Phase), c: [u16; 8]) {
        let (x, r, out) = (self.source(c[1]), self.source(c[2]), self.target(c[3]));
        let width = 1 + usize::from(c[4]) % self.length(x).min(9);
        let rows = self.length(x).min(self.length(r)).min(self.length(out)) / width;
        let count = rows * width;
        let readable = self.is_defined(x, 0, count) && self.is_defined(r, 0, count);
        if rows == 0 || x == out || r == out || !readable {
            return;
        }
        let (rows, width) = (rows as u32, width as u32);
        let strides = [0, rows * width, width, 1];
        let kernel = Elementwise::broadcast(Operation::ADD, [1, 1, rows, width], strides, strides);
        self.push(at, kernel, &[Some(x), Some(r), Some(out)], (0, count));
    }

    /// A slot of the history.
    fn record(&mut self, at: (usize, Phase), c: [u16; 8]) {
        let src = self.source(c[2]);
        let slot = self.slot;
        if src == HISTORY || self.length(src) < slot || !self.is_defined(src, 0, slot) {
            return;
        }
        let kernel = CopyFloats {
            dst_step_stride: slot as u32,
            ..CopyFloats::contiguous(slot as u32)
        };
        let (number, phase) = at;
        let ids = [Some(self.ids[src]), Some(self.ids[HISTORY])];
        self.built
            .graph
            .push(phase, format!("n{number}~"), kernel, &ids);
        self.built.defined[HISTORY][..slot].fill(true);
    }

    /// The row of the table that belongs to the step.
    fn look_up(&mut self, at: (usize, Phase), c: [u16; 8]) {
        let dst = self.target(c[2]);
        let slot = self.slot;
        // Nodes may have written over the table, but it stays defined.
        if dst == TABLE || self.length(dst) < slot {
            return;
        }
        let kernel = CopyFloats {
            src_step_stride: slot as u32,
            ..CopyFloats::contiguous(slot as u32)
        };
        self.push(at, kernel, &[Some(TABLE), Some(dst)], (0, slot));
    }

    /// After the loop every slot of the history is written, if any is.
    fn finish_history(&mut self) {
        if self.built.defined[HISTORY][0] {
            self.built.defined[HISTORY].fill(true);
        }
    }
}
