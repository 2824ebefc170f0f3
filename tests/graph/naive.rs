//! Execution in which every tensor has memory of its own, straight through the twins.

use attractor::graph::{Constant, Graph, Phase, TensorId};
use attractor_kernels::{Access, Operands, View};

/// Values of all tensors by index; words are not used by these graphs.
pub type Values = Vec<Vec<f32>>;

/// All launches of `steps` steps in order, as (node, step).
pub fn launches(graph: &Graph, steps: u32) -> Vec<(usize, u32)> {
    let of = |phase: Phase| {
        (0..graph.nodes().len())
            .filter(move |&n| graph.nodes()[n].phase == phase)
            .collect::<Vec<_>>()
    };
    let mut all: Vec<(usize, u32)> = of(Phase::Once).into_iter().map(|n| (n, 0)).collect();
    for step in 0..steps {
        all.extend(of(Phase::Step).into_iter().map(|n| (n, step)));
    }
    all.extend(of(Phase::Final).into_iter().map(|n| (n, steps - 1)));
    all
}

/// Runs a graph. What nothing has written is NaN.
pub fn run(graph: &Graph, steps: u32, inputs: &[(TensorId, Vec<f32>)]) -> Values {
    let mut values: Values = graph
        .tensors()
        .iter()
        .map(|tensor| match &tensor.constant {
            Some(Constant::Float(values)) => values.to_vec(),
            Some(Constant::Double(values)) => values.iter().map(|&v| v as f32).collect(),
            _ => vec![f32::NAN; tensor.len()],
        })
        .collect();
    for (id, given) in inputs {
        values[index(graph, *id)] = given.clone();
    }
    for (node, step) in launches(graph, steps) {
        let node = &graph.nodes()[node];
        let kernel = node.kernel.at_step(step);
        let table = kernel.id().operands();
        let places: Vec<Option<usize>> = node
            .operands
            .iter()
            .map(|id| id.map(|id| index(graph, id)))
            .collect();
        let mut written: Vec<Option<Vec<f32>>> = places
            .iter()
            .zip(table)
            .map(|(place, operand)| {
                let writes = operand.access != Access::Read;
                place
                    .filter(|_| writes)
                    .map(|p| std::mem::take(&mut values[p]))
            })
            .collect();
        let views: Vec<View<'_, f32>> = places
            .iter()
            .zip(&mut written)
            .map(|(place, written)| match (place, written) {
                (None, _) => View::Absent,
                (Some(_), Some(own)) => View::FloatMut(own),
                (Some(place), None) => View::Float(&values[*place]),
            })
            .collect();
        let mut operands = Operands::new(kernel.id().name(), table, views, false);
        kernel.twin(&mut operands).expect("twin");
        drop(operands);
        for (place, written) in places.iter().zip(written) {
            if let (Some(place), Some(written)) = (place, written) {
                values[*place] = written;
            }
        }
    }
    values
}

/// Index of a tensor: names are unique.
pub fn index(graph: &Graph, id: TensorId) -> usize {
    let name = &graph.tensor(id).name;
    let found = graph.tensors().iter().position(|t| t.name == *name);
    found.expect("a tensor of the graph")
}
