//! What may be fused is; what may not stays, and nothing changes its value.

use crate::naive;
use attractor::device::Device;
use attractor::graph::{Graph, Phase, Plan, TensorId, TensorKind, fuse};
use attractor_kernels::Activation;
use attractor_kernels::activation::Activate;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::matmul::MatMul;

const ROWS: u32 = 6;
const INNER: u32 = 5;
const WIDTH: u32 = 4;

/// `x` `[6, 5]`, `w` `[4, 5]`, bias `[4]`, a product `y` `[6, 4]` and an output `z`.
struct Case {
    graph: Graph,
    x: TensorId,
    w: TensorId,
    bias: TensorId,
    residual: TensorId,
    gate: TensorId,
    y: TensorId,
    z: TensorId,
}

impl Case {
    fn new() -> Self {
        let mut graph = Graph::new();
        let (rows, inner, width) = (ROWS as usize, INNER as usize, WIDTH as usize);
        Self {
            x: graph.float("x", &[rows, inner], TensorKind::State),
            w: graph.float("w", &[width, inner], TensorKind::Input),
            bias: graph.float("bias", &[width], TensorKind::Input),
            residual: graph.float("residual", &[rows, width], TensorKind::Input),
            gate: graph.float("gate", &[width], TensorKind::Input),
            y: graph.float("y", &[rows, width], TensorKind::Intermediate),
            z: graph.float("z", &[rows, width], TensorKind::Output),
            graph,
        }
    }

    fn linear() -> MatMul {
        MatMul::linear(ROWS, INNER, WIDTH)
    }

    fn multiply(&mut self, phase: Phase, kernel: MatMul) {
        let gate = kernel.has(MatMul::GATE).then_some(self.gate);
        let residual = kernel.has(MatMul::RESIDUAL).then_some(self.residual);
        let bias = kernel.has(MatMul::BIAS).then_some(self.bias);
        let operands = [
            Some(self.x),
            Some(self.w),
            bias,
            residual,
            gate,
            Some(self.y),
        ];
        self.graph.push(phase, "product", kernel, &operands);
    }

    fn gelu(&mut self, phase: Phase, kernel: Activate) {
        let operands = [Some(self.y), Some(self.z)];
        self.graph.push(phase, "gelu", kernel, &operands);
    }

    fn whole_gelu() -> Activate {
        Activate::of(Activation::GELU, ROWS * WIDTH)
    }

    fn add(&mut self, kernel: Elementwise, operands: [TensorId; 2]) {
        let operands = [Some(operands[0]), Some(operands[1]), Some(self.z)];
        self.graph.push(Phase::Step, "add", kernel, &operands);
    }

    /// `z = y + residual` seen as `[examples, rows of one, width]`.
    fn addition(examples: u32) -> Elementwise {
        let rows = ROWS / examples;
        let strides = [0, rows * WIDTH, WIDTH, 1];
        Elementwise::broadcast(Operation::ADD, [1, examples, rows, WIDTH], strides, strides)
    }

    /// Nodes after fusion, having checked that every readable value is the same as without.
    fn nodes_after(self, what: &str) -> usize {
        let tensors = self.graph.tensors().iter();
        let inputs: Vec<_> = tensors
            .filter(|t| t.kind.is_written_by_host())
            .map(|t| {
                let id = self.graph.find(&t.name).expect("its own tensor");
                (id, crate::common::values(t.len(), t.len() as u64))
            })
            .collect();
        let plain = naive::run(&self.graph, 2, &inputs);
        let fused = fuse(self.graph.clone());
        fused.check().unwrap_or_else(|e| panic!("{what}: {e}"));
        let found = naive::run(&fused, 2, &inputs);
        for ((tensor, a), b) in self.graph.tensors().iter().zip(&plain).zip(&found) {
            if !tensor.kind.is_readable() {
                continue;
            }
            for (a, b) in a.iter().zip(b) {
                let same = (a - b).abs() <= 1e-6 || (a.is_nan() && b.is_nan());
                assert!(same, "{what}: {} is {b}, without fusion {a}", tensor.name);
            }
        }
        fused.nodes().len()
    }
}

/// A case with a product and what `then` adds.
fn after_product(kernel: MatMul, then: impl FnOnce(&mut Case)) -> Case {
    let mut case = Case::new();
    case.multiply(Phase::Step, kernel);
    then(&mut case);
    case
}

#[test]
fn activation_and_residual_become_epilogues() {
    let gelu = |case: &mut Case| case.gelu(Phase::Step, Case::whole_gelu());
    assert_eq!(after_product(Case::linear(), gelu).nodes_after("gelu"), 1);
    for examples in [1, 2, 3, 6] {
        let residual = |case: &mut Case| {
            case.add(Case::addition(examples), [case.y, case.residual]);
        };
        // A lone product may come with any stride between matrices, here that of a batch of B.
        let batched = MatMul {
            b_row_stride: 1,
            b_column_stride: INNER,
            ..MatMul::batched(1, ROWS, INNER, WIDTH, (false, true))
        };
        assert_ne!(batched.b_batch_stride, 0);
        for kernel in [Case::linear(), batched] {
            let case = after_product(kernel, residual);
            assert_eq!(case.nodes_after(&format!("{examples} examples")), 1);
        }
    }
}

#[test]
fn a_residual_goes_on_top_of_gate_and_activation() {
    for examples in [1, 2] {
        let gated = MatMul {
            flags: MatMul::BIAS | MatMul::GATE,
            gate_column_stride: 1,
            // Of no meaning for one matrix, and wrong for the parts it may be cut into.
            gate_batch_stride: 1,
            activation: Activation::TANH,
            ..Case::linear()
        };
        let case = after_product(gated, |case| {
            case.add(Case::addition(examples), [case.y, case.residual]);
        });
        assert_eq!(case.nodes_after("gate, then residual"), 1);
    }
}

#[test]
fn a_repeated_residual_is_added_to_every_example() {
    let mut kernel = Case::addition(3);
    kernel.b_stride_1 = 0;
    let case = after_product(Case::linear(), |case| {
        case.add(kernel, [case.y, case.residual]);
    });
    assert_eq!(case.nodes_after("broadcast residual"), 1);
}

#[test]
fn what_must_not_be_fused_stays() {
    let gelu = |case: &mut Case| case.gelu(Phase::Step, Case::whole_gelu());
    let stays = |what: &str, case: Case, nodes: usize| {
        assert_eq!(case.nodes_after(what), nodes, "{what}");
    };
    stays(
        "output kept",
        after_product(Case::linear(), |case| {
            case.graph.keep(case.y);
            gelu(case);
        }),
        2,
    );
    stays(
        "used twice",
        after_product(Case::linear(), |case| {
            gelu(case);
            let other = case.graph.float("other", &[24], TensorKind::Output);
            let operands = [Some(case.y), Some(other)];
            case.graph
                .push(Phase::Step, "again", Case::whole_gelu(), &operands);
        }),
        3,
    );
    stays(
        "other phase",
        after_product(Case::linear(), |case| {
            case.gelu(Phase::Final, Case::whole_gelu());
        }),
        2,
    );
    stays(
        "part of the product",
        after_product(Case::linear(), |case| {
            case.gelu(Phase::Step, Activate::of(Activation::GELU, WIDTH));
        }),
        2,
    );
    stays(
        "shifted",
        after_product(Case::linear(), |case| {
            let kernel = Activate {
                x_offset: 1,
                ..Activate::of(Activation::GELU, ROWS * WIDTH - 1)
            };
            case.gelu(Phase::Step, kernel);
        }),
        2,
    );
    stays(
        "scaled",
        after_product(Case::linear(), |case| {
            let kernel = Activate {
                scale: 2.0,
                ..Case::whole_gelu()
            };
            case.gelu(Phase::Step, kernel);
        }),
        2,
    );
    let gated = MatMul {
        flags: MatMul::GATE,
        gate_column_stride: 1,
        ..Case::linear()
    };
    stays("activation after a gate", after_product(gated, gelu), 2);
    let active = MatMul {
        activation: Activation::TANH,
        ..Case::linear()
    };
    stays("second activation", after_product(active, gelu), 2);
    let added = MatMul {
        flags: MatMul::RESIDUAL,
        ..Case::linear()
    };
    stays("activation after a residual", after_product(added, gelu), 2);
    let strided = MatMul {
        m: ROWS / 2,
        c_row_stride: 2 * WIDTH,
        ..Case::linear()
    };
    stays("rows with gaps", after_product(strided, gelu), 2);
}

#[test]
fn additions_that_are_no_residual_stay() {
    let with = |kernel: Elementwise| {
        after_product(Case::linear(), |case| {
            case.add(kernel, [case.y, case.residual]);
        })
    };
    let plain = Case::addition(1);
    let subtract = Elementwise {
        operation: Operation::SUBTRACT,
        ..plain
    };
    for (what, kernel) in [
        ("difference", subtract),
        ("axpy", Elementwise { beta: 0.5, ..plain }),
        (
            "factor",
            Elementwise {
                alpha: 0.5,
                ..plain
            },
        ),
        (
            "flat",
            Elementwise::contiguous(Operation::ADD, ROWS * WIDTH),
        ),
    ] {
        assert_eq!(with(kernel).nodes_after(what), 2, "{what}");
    }
    let doubled = after_product(Case::linear(), |case| {
        case.add(Case::addition(1), [case.y, case.y]);
    });
    assert_eq!(doubled.nodes_after("y + y"), 2);
}

/// A next node that reads something else, or writes what the product reads, is no epilogue.
#[test]
fn neighbours_by_chance_stay() {
    let mut case = Case::new();
    case.multiply(Phase::Step, Case::linear());
    let operands = [Some(case.residual), Some(case.z)];
    case.graph
        .push(Phase::Step, "of another", Case::whole_gelu(), &operands);
    assert_eq!(case.nodes_after("of another"), 2);

    // The state of an orbit written back in place: x = gelu(x W + b).
    let mut graph = Graph::new();
    let x = graph.float("x", &[6, 4], TensorKind::State);
    let w = graph.float("w", &[4, 4], TensorKind::Input);
    let y = graph.float("y", &[6, 4], TensorKind::Intermediate);
    let product = MatMul {
        flags: 0,
        ..MatMul::linear(6, 4, 4)
    };
    let operands = [Some(x), Some(w), None, None, None, Some(y)];
    graph.push(Phase::Step, "product", product, &operands);
    let back = [Some(y), Some(x)];
    graph.push(Phase::Step, "back", Case::whole_gelu(), &back);
    let plan = Plan::compile(graph, &Device::cpu()).expect("a valid orbit");
    assert_eq!(plan.graph().nodes().len(), 2);
}
