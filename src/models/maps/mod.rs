//! Textbook maps of any size as graphs: linear maps, Lorenz-96, Kuramoto-Sivashinsky.

mod kuramoto_sivashinsky;
mod linear;
mod lorenz96;

pub use kuramoto_sivashinsky::KuramotoSivashinsky;
pub use linear::linear_map;
pub use lorenz96::Lorenz96;

use crate::graph::{Graph, TensorId, TensorKind};
use crate::orbit::IteratedMap;
use thiserror::Error;

/// A parameter of a map that is out of range.
#[derive(Debug, Clone, PartialEq, Error)]
#[error("{map}: {parameter}: expected {expected}, found {found}")]
pub struct MapError {
    /// Which map.
    pub map: &'static str,
    /// Which parameter.
    pub parameter: &'static str,
    /// What it must be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

impl MapError {
    fn new(
        map: &'static str,
        parameter: &'static str,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self {
            map,
            parameter,
            expected: expected.into(),
            found: found.to_string(),
        }
    }
}

/// Refuses a batch that is empty or whose state has more elements than a kernel can address.
fn check_size(map: &'static str, batch: usize, dimension: usize) -> Result<(), MapError> {
    let elements = batch.saturating_mul(dimension);
    if batch == 0 || elements > u32::MAX as usize {
        let expected = format!("1 to {} examples", u32::MAX as usize / dimension.max(1));
        return Err(MapError::new(map, "batch", expected, batch));
    }
    Ok(())
}

/// The state `[batch, dimension]`.
fn state(graph: &mut Graph, batch: usize, dimension: usize) -> TensorId {
    graph.float("state", &[batch, dimension], TensorKind::State)
}

/// A map without inner updates.
fn finished(graph: Graph, state: TensorId, batch: usize, dimension: usize) -> IteratedMap {
    IteratedMap {
        updates: vec![graph.nodes().len()],
        graph,
        state,
        batch,
        dimension,
    }
}
