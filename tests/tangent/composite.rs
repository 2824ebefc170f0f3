//! Chains of layers over a joint state whose halves are read and written apart, step after step.

use crate::support::{Case, Runner, check, contents_of};
use attractor::device::Device;
use attractor::graph::layers::RowSpan;
use attractor::graph::{Phase, TensorId};
use attractor_kernels::Activation;
use attractor_kernels::activation::Activate;
use attractor_kernels::attention::Attention;
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::gated_activation::GatedActivation;
use attractor_kernels::matmul::MatMul;
use attractor_kernels::rms_norm::RmsNorm;
use attractor_kernels::rotary::{Rotary, RotaryPairs};
use attractor_kernels::softmax::Softmax;
use proptest::prelude::*;

/// What a chain is made from: examples, rows, pairs of columns, steps, layers.
type Recipe = (usize, usize, usize, u32, Vec<(u8, u8)>);

fn recipes() -> impl Strategy<Value = Recipe> {
    let layers = prop::collection::vec((0u8..13, any::<u8>()), 2..12);
    let rows = prop::sample::select(vec![1usize, 2, 5]);
    (1usize..4, rows, 1usize..4, 1u32..4, layers)
}

struct Chain {
    case: Case,
    state: RowSpan,
    /// Whole tensors `[batch, rows, width]` so far.
    made: Vec<RowSpan>,
}

impl Chain {
    fn new((batch, rows, pairs, steps, layers): &Recipe) -> Self {
        let mut case = Case::new(format!(
            "{batch} x {rows} x {pairs}, {steps} steps, {layers:?}"
        ));
        case.steps = *steps;
        case.distance = 1e-6;
        // Up to three dozen layers one after the other, each with rounding of its own.
        case.tolerance = 5e-4;
        let width = 2 * pairs;
        let tensor = case.seed(&[*batch, 2 * rows, width]);
        let state = RowSpan {
            tensor,
            batch: *batch,
            total: 2 * rows,
            first: 0,
            rows: 2 * rows,
            width,
        };
        Self {
            case,
            state,
            made: Vec::new(),
        }
    }

    fn new_rows(&mut self, width: usize) -> RowSpan {
        let (batch, rows) = (self.state.batch, self.state.rows / 2);
        let name = format!("rows {}", self.case.graph.tensors().len());
        self.case.graph.rows(name, batch, rows, width)
    }

    fn half(&self, second: bool) -> RowSpan {
        let rows = self.state.rows / 2;
        self.state.part(if second { rows } else { 0 }, rows)
    }

    fn latest(&self) -> RowSpan {
        *self.made.last().expect("the first sum")
    }

    fn earlier(&self, choice: u8) -> RowSpan {
        self.made[usize::from(choice) % self.made.len()]
    }

    fn counted(&self) -> u32 {
        let x = self.latest();
        (x.batch * x.rows * x.width) as u32
    }

    /// `0.5 (a + b)` or the like of two spans, as a new tensor.
    fn pair(&mut self, operation: Operation, a: RowSpan, b: RowSpan) -> RowSpan {
        let out = self.new_rows(a.width);
        let sizes = [1, out.batch as u32, out.rows as u32, out.width as u32];
        let strides = |x: RowSpan| [0, x.batch_stride(), x.width as u32, 1];
        let kernel = Elementwise {
            a_offset: a.offset(),
            b_offset: b.offset(),
            alpha: 0.5,
            ..Elementwise::broadcast(operation, sizes, strides(a), strides(b))
        };
        self.case.node(kernel, &[a.tensor, b.tensor, out.tensor]);
        out
    }

    fn linear(&mut self, x: RowSpan, out: RowSpan) {
        let weights = (
            self.case.constant(&[out.width, x.width]),
            self.case.constant(&[out.width]),
        );
        let label = format!("linear {}", self.case.graph.nodes().len());
        self.case.graph.linear(Phase::Step, &label, x, weights, out);
    }

    fn into(
        &mut self,
        kernel: impl Into<attractor_kernels::AnyKernel>,
        more: &[TensorId],
    ) -> RowSpan {
        let out = self.new_rows(self.state.width);
        let mut operands = vec![self.latest().tensor];
        operands.extend_from_slice(more);
        operands.push(out.tensor);
        self.case.node(kernel, &operands);
        out
    }

    fn attention(&mut self, x: RowSpan) -> RowSpan {
        let (batch, rows, width) = (x.batch as u32, x.rows as u32, x.width as u32);
        let projected = self.new_rows(3 * x.width);
        self.linear(x, projected);
        let table = [x.rows, 1];
        let tables = [self.case.constant(&table), self.case.constant(&table)];
        let turned = Rotary::fused(batch, rows, width / 2, 2, RotaryPairs::HALVES);
        self.case
            .node(turned, &[projected.tensor, tables[0], tables[1]]);
        let out = self.new_rows(x.width);
        let qkv = Some(projected.tensor);
        let kernel = Attention::fused(batch, rows, width / 2, 2);
        self.case
            .push(kernel, &[qkv, qkv, qkv, None, Some(out.tensor)]);
        out
    }

    fn layer(&mut self, kind: u8, choice: u8) {
        let x = self.latest();
        let out = match kind {
            0..=3 => self.row_layer(kind, x),
            4 => self.attention(x),
            5 => self.gated(x),
            6 => self.pair(Operation::ADD, x, self.earlier(choice)),
            7 => self.pair(Operation::MULTIPLY, x, self.earlier(choice)),
            8 => {
                let rows = (x.batch * x.rows) as u32;
                self.into(Softmax::contiguous(rows, x.width as u32), &[])
            }
            9 => self.mixed(x),
            // A half of the state is replaced, and read back on the way.
            10 => {
                self.store(x, choice.is_multiple_of(2));
                self.pair(Operation::ADD, x, self.half(choice.is_multiple_of(3)))
            }
            11 => {
                let out = self.new_rows(x.width);
                self.linear(self.half(choice.is_multiple_of(2)), out);
                self.pair(Operation::SUBTRACT, x, out)
            }
            _ => self.half_given(x, choice),
        };
        self.made.push(out);
    }

    /// A linear layer, an activation, or a norm.
    fn row_layer(&mut self, kind: u8, x: RowSpan) -> RowSpan {
        if kind == 1 {
            return self.into(Activate::of(Activation::GELU, self.counted()), &[]);
        }
        let out = self.new_rows(x.width);
        if kind == 0 {
            self.linear(x, out);
        } else if kind == 2 {
            let (batch, rows, width) = (x.batch as u32, x.rows as u32, x.width as u32);
            let kernel = RmsNorm::contiguous(batch, rows, width, 1e-1, 0);
            let operands = [Some(x.tensor), None, None, None, None, Some(out.tensor)];
            self.case.push(kernel, &operands);
        } else {
            let shape = [x.width];
            let weights = (self.case.constant(&shape), self.case.constant(&shape));
            let label = format!("norm {}", self.case.graph.nodes().len());
            let graph = &mut self.case.graph;
            graph.layer_norm(Phase::Step, &label, x, weights, 1e-1, out);
        }
        out
    }

    fn gated(&mut self, x: RowSpan) -> RowSpan {
        let wide = self.new_rows(2 * x.width);
        self.linear(x, wide);
        let rows = (x.batch * x.rows) as u32;
        let kernel = GatedActivation::halves(rows, x.width as u32, Activation::SILU);
        let out = self.new_rows(x.width);
        self.case.node(kernel, &[wide.tensor, out.tensor]);
        out
    }

    /// One matrix over the rows of every example.
    fn mixed(&mut self, x: RowSpan) -> RowSpan {
        let (batch, rows, width) = (x.batch as u32, x.rows as u32, x.width as u32);
        let kernel = MatMul {
            a_batch_stride: 0,
            ..MatMul::batched(batch, rows, rows, width, (false, false))
        };
        let out = self.new_rows(x.width);
        let weights = self.case.constant(&[x.rows, x.rows]);
        let operands = [
            Some(weights),
            Some(x.tensor),
            None,
            None,
            None,
            Some(out.tensor),
        ];
        self.case.push(kernel, &operands);
        out
    }

    /// Half of a tensor moves, the other is from the host; their product.
    fn half_given(&mut self, x: RowSpan, choice: u8) -> RowSpan {
        let given = self.case.given(&[x.batch, x.rows, x.width]);
        let count = self.counted();
        let both = self.case.middle(&[2, count as usize]);
        let placed = CopyFloats {
            dst_offset: count,
            ..CopyFloats::contiguous(count)
        };
        let (first, second) = match choice.is_multiple_of(2) {
            true => (given, x.tensor),
            false => (x.tensor, given),
        };
        self.case
            .node(CopyFloats::contiguous(count), &[first, both]);
        self.case.node(placed, &[second, both]);
        let product = Elementwise {
            b_offset: count,
            ..Elementwise::contiguous(Operation::MULTIPLY, count)
        };
        let out = self.new_rows(x.width);
        self.case.node(product, &[both, both, out.tensor]);
        out
    }

    /// Writes a tensor to a half of the state.
    fn store(&mut self, x: RowSpan, second: bool) {
        let to = self.half(second);
        let part = (x.rows * x.width) as u32;
        let kernel = CopyFloats {
            dst_offset: to.offset(),
            ..CopyFloats::strided(
                [1, 1, x.batch as u32, part],
                [0, 0, part, 1],
                [0, 0, to.batch_stride(), 1],
            )
        };
        self.case.node(kernel, &[x.tensor, to.tensor]);
    }
}

fn build(recipe: &Recipe) -> Case {
    let mut chain = Chain::new(recipe);
    let first = chain.pair(Operation::ADD, chain.half(false), chain.half(true));
    chain.made.push(first);
    for (kind, choice) in &recipe.4 {
        chain.layer(*kind, *choice);
    }
    let (latest, first) = (chain.latest(), chain.made[0]);
    chain.store(latest, false);
    let mean = chain.pair(Operation::ADD, latest, first);
    chain.store(mean, true);
    chain.case
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn chains_of_layers_agree_with_differences(recipe in recipes()) {
        let case = build(&recipe);
        // Gates of gates double the degree each time, and a few steps of them leave the finite numbers.
        let outputs = case.readable();
        let mut runner = Runner::new(&case, case.graph.clone(), &Device::cpu());
        let found = runner.run(&contents_of(&case), &outputs);
        prop_assume!(found.iter().flatten().all(|value| value.abs() < 1e6));
        check(&case, &[(&Device::cpu(), 1.0)]);
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_chain_of_every_layer_agrees_on_a_gpu() {
    for (batch, rows, pairs) in [(1, 5, 3), (3, 2, 1)] {
        let layers = (0..13).map(|kind| (kind, kind * 5)).collect();
        let case = build(&(batch, rows, pairs, 2, layers));
        check(&case, &[(&crate::common::gpu(), 2.0)]);
    }
}
