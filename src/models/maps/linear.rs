//! `x <- A x`.

use super::{MapError, check_size, finished, state};
use crate::graph::layers::size;
use crate::graph::{Graph, Phase, TensorKind};
use crate::orbit::IteratedMap;
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::matmul::MatMul;

const NAME: &str = "linear map";

/// `x <- A x` over `batch` examples; `matrix` is `A`, `[dimension, dimension]`, row-major.
///
/// # Errors
/// [`MapError`] if the matrix is not square of that dimension or not finite, or the batch is empty.
pub fn linear_map(matrix: &[f64], dimension: usize, batch: usize) -> Result<IteratedMap, MapError> {
    if dimension == 0 || dimension.checked_mul(dimension) != Some(matrix.len()) {
        let expected = format!("a square matrix of dimension {dimension}, at least 1");
        let found = format!("{} numbers", matrix.len());
        return Err(MapError::new(NAME, "matrix", expected, found));
    }
    if let Some(at) = matrix.iter().position(|value| !value.is_finite()) {
        let (row, column) = (at / dimension, at % dimension);
        let found = format!("another in row {row}, column {column}");
        return Err(MapError::new(NAME, "matrix", "finite numbers", found));
    }
    check_size(NAME, batch, dimension)?;
    let mut graph = Graph::new();
    let x = state(&mut graph, batch, dimension);
    let a = graph.constant_f64("A", &[dimension, dimension], matrix.to_vec());
    let product = graph.float("A x", &[batch, dimension], TensorKind::Intermediate);
    let (rows, n) = (size(batch), size(dimension));
    let kernel = MatMul {
        flags: 0,
        ..MatMul::linear(rows, n, n)
    };
    let operands = [Some(x), Some(a), None, None, None, Some(product)];
    graph.push(Phase::Step, "product", kernel, &operands);
    let copy = CopyFloats::contiguous(rows.saturating_mul(n));
    graph.push(Phase::Step, "step", copy, &[Some(product), Some(x)]);
    Ok(finished(graph, x, batch, dimension))
}
