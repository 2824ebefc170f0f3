use crate::device::DeviceError;
use attractor_kernels::KernelError;
use thiserror::Error;

/// What can be wrong with a graph or its execution.
#[derive(Debug, Error)]
pub enum GraphError {
    /// A node's parameters or operands do not fit.
    #[error("node {node}: {source}")]
    Node {
        /// Label of the node.
        node: String,
        /// What is wrong.
        source: KernelError,
    },
    /// A node and a tensor do not fit each other.
    #[error("node {node}, tensor {tensor}: expected {expected}, found {found}")]
    Tensor {
        /// Label of the node.
        node: String,
        /// Name of the tensor.
        tensor: String,
        /// What the node needs.
        expected: String,
        /// What the tensor is.
        found: String,
    },
    /// A host access does not fit the tensor.
    #[error("tensor {tensor}: expected {expected}, found {found}")]
    Access {
        /// Name of the tensor.
        tensor: String,
        /// What the tensor takes.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A launch names a node that is not there.
    #[error("launch of node {node}: expected one of the {nodes} nodes of the graph")]
    Launch {
        /// Index of the node.
        node: usize,
        /// Nodes of the graph.
        nodes: usize,
    },
    /// A graph has no tangents as they were asked for.
    #[error("tangents of {what}: expected {expected}, found {found}")]
    Tangent {
        /// The node and operand, tensor or number concerned.
        what: String,
        /// What can be carried.
        expected: String,
        /// What there is.
        found: String,
    },
    /// A graph has no gradients as they were asked for.
    #[error("adjoints of {what}: expected {expected}, found {found}")]
    Adjoint {
        /// The node and operand, or tensor concerned.
        what: String,
        /// What can be carried back.
        expected: String,
        /// What there is.
        found: String,
    },
    /// The device failed.
    #[error(transparent)]
    Device(#[from] DeviceError),
}
