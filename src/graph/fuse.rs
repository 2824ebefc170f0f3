//! Fusion of the patterns that pay: an activation or a residual addition right after a matrix product
//! becomes the product's epilogue, an activation right after a norm becomes the norm's.

use super::{Graph, Node, TensorId, TensorKind};
use attractor_kernels::activation::Activate;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::layer_norm::LayerNorm;
use attractor_kernels::matmul::MatMul;
use attractor_kernels::{Activation, AnyKernel, element_count};

// Positions of the operands of a product.
const RESIDUAL_OPERAND: usize = 3;
const OUTPUT_OPERAND: usize = 5;

/// Fuses a graph. Only intermediates disappear: a tensor that the host wants to read stays.
pub fn fuse(mut graph: Graph) -> Graph {
    let mut index = 0;
    while index + 1 < graph.nodes.len() {
        let fused = fuse_pair(&graph, index).or_else(|| fuse_norm(&graph, index));
        if let Some(fused) = fused {
            graph.nodes[index] = fused;
            graph.nodes.remove(index + 1);
        } else {
            index += 1;
        }
    }
    graph
}

/// The product at `index` with the node after it as its epilogue, if that is the same computation.
fn fuse_pair(graph: &Graph, index: usize) -> Option<Node> {
    let (first, second) = (&graph.nodes[index], graph.nodes.get(index + 1)?);
    let AnyKernel::MatMul(product) = first.kernel else {
        return None;
    };
    let output = (*first.operands.get(OUTPUT_OPERAND)?)?;
    let fusible = first.phase == second.phase
        && is_whole(graph, &product, output)
        && is_private(graph, output, index);
    if !fusible {
        return None;
    }
    let target = second.operands.last().copied().flatten()?;
    // The second node must read the product, and may write what the product reads only after it.
    if second.operands.first() != Some(&Some(output)) || first.operands.contains(&Some(target)) {
        return None;
    }
    let mut node = first.clone();
    match second.kernel {
        AnyKernel::Activate(activate) => with_activation(&mut node, product, activate)?,
        AnyKernel::Elementwise(add) => {
            // x + x needs x itself, which fusion would take away.
            let residual = second.operands.get(1).copied().flatten()?;
            if residual == output {
                return None;
            }
            with_residual(&mut node, product, add, residual)?;
        }
        _ => return None,
    }
    *node.operands.get_mut(OUTPUT_OPERAND)? = Some(target);
    node.label = format!("{} + {}", first.label, second.label);
    Some(node)
}

/// The layer norm at `index` with the activation after it, if every element goes through both and the norm
/// alone would be read by nothing else.
fn fuse_norm(graph: &Graph, index: usize) -> Option<Node> {
    let (first, second) = (&graph.nodes[index], graph.nodes.get(index + 1)?);
    let (AnyKernel::LayerNorm(norm), AnyKernel::Activate(activate)) = (first.kernel, second.kernel)
    else {
        return None;
    };
    let output = (*first.operands.get(OUTPUT_OPERAND)?)?;
    let target = second.operands.last().copied().flatten()?;
    let count = element_count(&[norm.batch, norm.rows, norm.width]);
    let rows_follow = norm.y_row_stride == norm.width
        && (norm.batch == 1 || Some(norm.y_batch_stride) == norm.rows.checked_mul(norm.width));
    let fusible = first.phase == second.phase
        && second.operands.first() == Some(&Some(output))
        && !first.operands.contains(&Some(target))
        && norm.activation == Activation::IDENTITY
        && (norm.y_offset, activate.x_offset, activate.y_offset) == (0, 0, 0)
        && activate.scale == 1.0
        && rows_follow
        && activate.count as usize == count
        && graph.tensor(output).len() == count
        && is_private(graph, output, index);
    if !fusible {
        return None;
    }
    let mut node = first.clone();
    node.kernel = LayerNorm {
        activation: activate.activation,
        ..norm
    }
    .into();
    *node.operands.get_mut(OUTPUT_OPERAND)? = Some(target);
    node.label = format!("{} + {}", first.label, second.label);
    Some(node)
}

fn with_activation(node: &mut Node, mut product: MatMul, activate: Activate) -> Option<()> {
    let plain = product.activation == Activation::IDENTITY
        && !product.has(MatMul::RESIDUAL)
        && !product.has(MatMul::GATE)
        && activate.scale == 1.0
        && activate.x_offset == 0
        && activate.y_offset == 0
        && activate.count as usize == elements(&product);
    product.activation = activate.activation;
    node.kernel = product.into();
    plain.then_some(())
}

fn with_residual(
    node: &mut Node,
    mut product: MatMul,
    add: Elementwise,
    residual: TensorId,
) -> Option<()> {
    let shape = [add.shape_0, add.shape_1, add.shape_2, add.shape_3];
    let width = product.n;
    let plain = !product.has(MatMul::RESIDUAL)
        && add.operation == Operation::ADD
        && (add.alpha, add.beta) == (1.0, 1.0)
        && shape[0] == 1
        && shape[3] == width
        && element_count(&shape) == elements(&product)
        && (add.a_offset, add.out_offset) == (0, 0)
        && [add.a_stride_1, add.a_stride_2, add.a_stride_3]
            == [shape[2].checked_mul(width)?, width, 1]
        && add.b_stride_3 == 1;
    if !plain {
        return None;
    }
    // The addition's (example, row) may split the product's rows further than the product does.
    product = MatMul {
        batch: shape[1],
        m: shape[2],
        a_batch_stride: shape[2].checked_mul(product.a_row_stride)?,
        c_batch_stride: shape[2].checked_mul(product.c_row_stride)?,
        // A single matrix may come with any stride here; its parts share B and the gate.
        b_batch_stride: 0,
        gate_batch_stride: 0,
        residual_offset: add.b_offset,
        residual_batch_stride: add.b_stride_1,
        residual_row_stride: add.b_stride_2,
        flags: product.flags | MatMul::RESIDUAL,
        ..product
    };
    // One tall matrix serves a CPU's cache better than many short ones.
    if add.b_offset == 0 && Some(add.b_stride_1) == shape[2].checked_mul(add.b_stride_2) {
        product = MatMul {
            batch: 1,
            m: shape[1] * shape[2],
            ..product
        };
    }
    node.kernel = product.into();
    *node.operands.get_mut(RESIDUAL_OPERAND)? = Some(residual);
    Some(())
}

fn elements(product: &MatMul) -> usize {
    element_count(&[product.batch, product.m, product.n])
}

/// Whether the product is one tall matrix that fills its output without gaps.
fn is_whole(graph: &Graph, product: &MatMul, output: TensorId) -> bool {
    product.batch == 1
        && product.c_offset == 0
        && product.a_offset == 0
        && product.c_row_stride == product.n
        && graph.tensor(output).len() == elements(product)
}

/// Whether `id` is an intermediate that the node at `index` makes and only the next one reads.
fn is_private(graph: &Graph, id: TensorId, index: usize) -> bool {
    graph.tensor(id).kind == TensorKind::Intermediate
        && graph.nodes.iter().enumerate().all(|(position, node)| {
            position == index || position == index + 1 || !node.operands.contains(&Some(id))
        })
}
