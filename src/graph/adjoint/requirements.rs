//! What a graph must be like for its values to serve its gradients.

use super::{Seed, refused};
use crate::graph::region::written;
use crate::graph::tangent::activity::{reads, writes};
use crate::graph::{Graph, GraphError, Node, TensorId};
use attractor_kernels::{AnyKernel, Element};

/// Refuses a cotangent that does not fit its output.
pub(super) fn check_seed(graph: &Graph, seed: &Seed) -> Result<(), GraphError> {
    let (output, cotangent) = (graph.tensor(seed.output), graph.tensor(seed.cotangent));
    let fits = output.element == Element::Float
        && cotangent.element == Element::Float
        && output.len() == cotangent.len();
    if fits {
        return Ok(());
    }
    let what = format!("tensor {}, cotangent {}", output.name, cotangent.name);
    let expected = format!("{} real numbers", output.len());
    let found = format!("{} elements {:?}", cotangent.len(), cotangent.element);
    Err(refused(&what, &expected, &found))
}

/// Whether a node moves adjoints: it reads and writes tensors that have them.
fn moves(node: &Node, active: &[bool]) -> bool {
    let is_active = |id: TensorId| active.get(id.0).copied().unwrap_or(false);
    reads(node).any(|(_, id)| is_active(id)) && writes(node).any(|(_, id)| is_active(id))
}

/// The nodes that move adjoints, in order, after the checks that [`super::Adjoint::new`] promises.
pub(super) fn moving(graph: &Graph, active: &[bool]) -> Result<Vec<usize>, GraphError> {
    let nodes = graph.nodes();
    let chosen: Vec<usize> = (0..nodes.len())
        .filter(|&index| nodes.get(index).is_some_and(|node| moves(node, active)))
        .collect();
    for &index in &chosen {
        if let Some(node) = nodes.get(index) {
            check_node(graph, active, &chosen, (index, node))?;
        }
    }
    let all = (0..active.len()).filter(|&index| active[index]);
    all.map(TensorId)
        .try_for_each(|id| check_writers(graph, id))?;
    Ok(chosen)
}

/// Whether a kernel does another thing at another step. Copies always know theirs, and use it only to stride.
fn depends_on_step(kernel: &AnyKernel) -> bool {
    match kernel {
        AnyKernel::CopyFloats(copy) => copy.src_step_stride != 0 || copy.dst_step_stride != 0,
        kernel => kernel.at_step(0) != kernel.at_step(1),
    }
}

fn check_node(
    graph: &Graph,
    active: &[bool],
    chosen: &[usize],
    (index, node): (usize, &Node),
) -> Result<(), GraphError> {
    let what = format!("node {} ({})", node.label, node.kernel.id().name());
    let first = chosen.first().and_then(|first| graph.nodes().get(*first));
    if let Some(first) = first.filter(|first| first.phase != node.phase) {
        let expected = format!("the phase of {}, {:?}", first.label, first.phase);
        return Err(refused(&what, &expected, &format!("{:?}", node.phase)));
    }
    if depends_on_step(&node.kernel) {
        return Err(refused(
            &what,
            "the same at every step",
            "a node that depends on it",
        ));
    }
    for (_, id) in reads(node) {
        let later = graph.nodes().iter().skip(index);
        let mut later = later.filter(|other| other.phase == node.phase);
        if let Some(other) = later.find(|other| writes(other).any(|(_, own)| own == id)) {
            let what = format!("{what}, tensor {}", graph.tensor(id).name);
            let found = format!("node {}, which writes it", other.label);
            return Err(refused(&what, "no write after it was read", &found));
        }
    }
    let outputs = writes(node).filter(|(_, id)| active.get(id.0).copied().unwrap_or(false));
    match outputs.count() {
        1 => Ok(()),
        count => {
            let found = format!("{count}");
            Err(refused(&what, "one output with an adjoint", &found))
        }
    }
}

/// Refuses a tensor of which an element may be written twice: only the last write would count.
fn check_writers(graph: &Graph, id: TensorId) -> Result<(), GraphError> {
    let tensor = graph.tensor(id);
    let own = |node: &&Node| writes(node).any(|(_, own)| own == id);
    let writers: Vec<&Node> = graph.nodes().iter().filter(own).collect();
    if writers.len() < 2 {
        return Ok(());
    }
    let what = format!("tensor {}", tensor.name);
    let mut seen = vec![false; tensor.len()];
    for node in writers {
        let places = writes(node).filter(|(_, own)| *own == id);
        for (operand, _) in places {
            let found = format!("node {}", node.label);
            let Some(region) = written(&node.kernel, operand) else {
                let expected = "writes of known regions where there are several";
                return Err(refused(&what, expected, &found));
            };
            for element in region.elements() {
                let again = seen
                    .get_mut(element)
                    .map(|seen| std::mem::replace(seen, true));
                if again != Some(false) {
                    let found = format!("{found}, which writes element {element} again");
                    return Err(refused(&what, "every element written once", &found));
                }
            }
        }
    }
    Ok(())
}
