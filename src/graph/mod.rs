//! A map as data: tensors, nodes, shapes; its memory plan; its execution.
//!
//! A [`Graph`] is plain data. [`Plan::compile`] checks it, fuses what pays, plans its memory and puts
//! its constants on a device; an [`Execution`] owns the working memory of one run and carries it out.

pub mod adjoint;
mod cpu;
mod error;
mod execution;
mod fuse;
mod gpu;
pub mod layers;
mod memory;
mod plan;
mod program;
mod region;
pub mod tangent;

pub use error::GraphError;
pub use execution::{Execution, Moment};
pub use fuse::fuse;
pub use gpu::DeviceSlice;
pub use memory::MemoryPlan;
pub use plan::{Plan, PlanSummary};

use attractor_kernels::{AnyKernel, Element};
use serde::Serialize;
use std::sync::Arc;

/// Index of a tensor in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct TensorId(pub(crate) usize);

/// Where a tensor's values come from and how long they must live.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TensorKind {
    /// Fixed values: weights and tables.
    Constant,
    /// Written by the host before every run.
    Input,
    /// Made and used up inside the run.
    Intermediate,
    /// Kept until the end of the run, so that the host can read it.
    Output,
    /// Written by the host before the run and readable after it: the state of an orbit.
    State,
}

impl TensorKind {
    /// Whether the host may read the tensor after a run.
    pub fn is_readable(self) -> bool {
        matches!(self, Self::Output | Self::State)
    }

    /// Whether the host writes the tensor before a run.
    pub fn is_written_by_host(self) -> bool {
        matches!(self, Self::Input | Self::State)
    }
}

/// A tensor: a name, a shape in elements, an element kind.
#[derive(Debug, Clone, Serialize)]
pub struct Tensor {
    /// Name, unique in the graph.
    pub name: String,
    /// Dimensions, row-major; a scalar has none.
    pub shape: Vec<usize>,
    /// Element kind.
    pub element: Element,
    /// Origin and lifetime.
    pub kind: TensorKind,
    /// Values of a constant.
    #[serde(skip)]
    pub constant: Option<Constant>,
}

impl Tensor {
    /// Elements.
    pub fn len(&self) -> usize {
        self.shape
            .iter()
            .fold(1usize, |count, &d| count.saturating_mul(d))
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Values of a constant, shared by every graph that uses them.
#[derive(Debug, Clone)]
pub enum Constant {
    /// Real numbers.
    Float(Arc<Vec<f32>>),
    /// Real numbers that a device of double precision keeps as they are; others round them.
    Double(Arc<Vec<f64>>),
    /// Words.
    Word(Arc<Vec<u32>>),
}

impl Constant {
    /// Elements.
    pub fn len(&self) -> usize {
        match self {
            Self::Float(values) => values.len(),
            Self::Double(values) => values.len(),
            Self::Word(values) => values.len(),
        }
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Kind of its elements.
    pub fn element(&self) -> Element {
        match self {
            Self::Float(_) | Self::Double(_) => Element::Float,
            Self::Word(_) => Element::Word,
        }
    }
}

/// When in an orbit a node runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Once, before the first step: what does not depend on the state.
    Once,
    /// At every step.
    Step,
    /// Once, after the last step.
    Final,
}

/// One launch of a kernel.
#[derive(Debug, Clone, Serialize)]
pub struct Node {
    /// Label for people.
    pub label: String,
    /// Kernel and parameters.
    #[serde(flatten)]
    pub kernel: AnyKernel,
    /// Operands in binding order; none for one that is left out.
    pub operands: Vec<Option<TensorId>>,
    /// When it runs.
    pub phase: Phase,
}

/// A map, or an orbit of one, as data.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Graph {
    tensors: Vec<Tensor>,
    nodes: Vec<Node>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// Tensors by id.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// Nodes in order of execution within their phase.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The tensor behind an id of this graph.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// The tensor of a given name.
    pub fn find(&self, name: &str) -> Option<TensorId> {
        self.tensors
            .iter()
            .position(|t| t.name == name)
            .map(TensorId)
    }

    fn add(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        element: Element,
        kind: TensorKind,
        constant: Option<Constant>,
    ) -> TensorId {
        self.tensors.push(Tensor {
            name: name.into(),
            shape: shape.to_vec(),
            element,
            kind,
            constant,
        });
        TensorId(self.tensors.len() - 1)
    }

    /// Adds a real-valued tensor.
    pub fn float(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        kind: TensorKind,
    ) -> TensorId {
        self.add(name, shape, Element::Float, kind, None)
    }

    /// Adds a tensor of words.
    pub fn word(&mut self, name: impl Into<String>, shape: &[usize], kind: TensorKind) -> TensorId {
        self.add(name, shape, Element::Word, kind, None)
    }

    /// Adds real-valued constants; `values` must have as many elements as the shape, which
    /// [`Plan::compile`] checks.
    pub fn constant(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        values: Arc<Vec<f32>>,
    ) -> TensorId {
        let constant = Some(Constant::Float(values));
        self.add(name, shape, Element::Float, TensorKind::Constant, constant)
    }

    /// Adds real-valued constants in double precision, as [`Graph::constant`].
    pub fn constant_f64(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        values: Vec<f64>,
    ) -> TensorId {
        let constant = Some(Constant::Double(Arc::new(values)));
        self.add(name, shape, Element::Float, TensorKind::Constant, constant)
    }

    /// Adds constant words.
    pub fn constant_words(
        &mut self,
        name: impl Into<String>,
        shape: &[usize],
        values: Arc<Vec<u32>>,
    ) -> TensorId {
        let constant = Some(Constant::Word(values));
        self.add(name, shape, Element::Word, TensorKind::Constant, constant)
    }

    /// Makes an input a constant, for a graph that must run without anything written to it.
    ///
    /// # Errors
    /// [`GraphError::Access`] for anything but an input, on a wrong element kind or count.
    pub fn fix(&mut self, id: TensorId, values: Constant) -> Result<(), GraphError> {
        let tensor = &mut self.tensors[id.0];
        let (expected, found) = (
            (TensorKind::Input, tensor.element, tensor.len()),
            (tensor.kind, values.element(), values.len()),
        );
        if expected != found {
            let text = |(kind, element, count)| format!("{kind:?}, {count} elements {element:?}");
            return Err(GraphError::Access {
                tensor: tensor.name.clone(),
                expected: text(expected),
                found: text(found),
            });
        }
        tensor.kind = TensorKind::Constant;
        tensor.constant = Some(values);
        Ok(())
    }

    /// Keeps a tensor readable after the run.
    pub fn keep(&mut self, id: TensorId) {
        let tensor = &mut self.tensors[id.0];
        if tensor.kind == TensorKind::Intermediate {
            tensor.kind = TensorKind::Output;
        }
    }

    /// Appends a node.
    pub fn push(
        &mut self,
        phase: Phase,
        label: impl Into<String>,
        kernel: impl Into<AnyKernel>,
        operands: &[Option<TensorId>],
    ) {
        self.nodes.push(Node {
            label: label.into(),
            kernel: kernel.into(),
            operands: operands.to_vec(),
            phase,
        });
    }

    /// Checks every node against its kernel and its tensors, and every constant against its shape.
    ///
    /// # Errors
    /// [`GraphError`] naming the first node and tensor that do not fit.
    pub fn check(&self) -> Result<(), GraphError> {
        for tensor in &self.tensors {
            let Some(found) = tensor.constant.as_ref().map(Constant::len) else {
                continue;
            };
            if found != tensor.len() {
                return Err(GraphError::Access {
                    tensor: tensor.name.clone(),
                    expected: format!("{} elements for shape {:?}", tensor.len(), tensor.shape),
                    found: format!("{found} elements"),
                });
            }
        }
        self.nodes.iter().try_for_each(|node| self.check_node(node))
    }

    /// Checks a node at a step of an orbit: tables and histories are indexed by step.
    fn check_step(&self, node: &Node, step: u32) -> Result<(), GraphError> {
        let kernel = node.kernel.at_step(step);
        kernel.check().map_err(|source| GraphError::Node {
            node: node.label.clone(),
            source,
        })?;
        for (id, extent) in node.operands.iter().zip(kernel.extents()) {
            let Some(tensor) = id.map(|id| self.tensor(id)) else {
                continue;
            };
            if tensor.len() < extent {
                return Err(GraphError::Tensor {
                    node: node.label.clone(),
                    tensor: tensor.name.clone(),
                    expected: format!("at least {extent} elements at step {step}"),
                    found: format!("{:?}", tensor.shape),
                });
            }
        }
        Ok(())
    }

    fn check_node(&self, node: &Node) -> Result<(), GraphError> {
        node.kernel.check().map_err(|source| GraphError::Node {
            node: node.label.clone(),
            source,
        })?;
        let extents = node.kernel.extents();
        for (index, operand) in node.kernel.id().operands().iter().enumerate() {
            let extent = extents.get(index).copied().unwrap_or(0);
            let mismatch = |tensor: &str, expected: String, found: String| GraphError::Tensor {
                node: node.label.clone(),
                tensor: tensor.to_string(),
                expected,
                found,
            };
            let Some(id) = node.operands.get(index).copied().flatten() else {
                if extent > 0 || !operand.optional {
                    return Err(mismatch(
                        operand.name,
                        format!("{extent} elements"),
                        "nothing".into(),
                    ));
                }
                continue;
            };
            let tensor = &self.tensors[id.0];
            if tensor.element != operand.element || tensor.len() < extent {
                return Err(mismatch(
                    &tensor.name,
                    format!(
                        "{:?}, at least {extent} elements for operand {}",
                        operand.element, operand.name
                    ),
                    format!("{:?} {:?}", tensor.element, tensor.shape),
                ));
            }
            let writes = operand.access != attractor_kernels::Access::Read;
            if writes && tensor.kind == TensorKind::Constant {
                return Err(mismatch(
                    &tensor.name,
                    "a writable tensor".into(),
                    "a constant".into(),
                ));
            }
            let uses = node.operands.iter().filter(|o| **o == Some(id)).count();
            if writes && uses > 1 {
                return Err(mismatch(
                    &tensor.name,
                    "an output that is no other operand of the node".into(),
                    format!("{uses} uses"),
                ));
            }
        }
        Ok(())
    }
}
