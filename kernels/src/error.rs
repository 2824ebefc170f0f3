use thiserror::Error;

/// What can be wrong with a kernel's parameters or operands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum KernelError {
    /// A parameter is outside the range the kernel is defined for.
    #[error("{kernel}: parameter {parameter} is {found}, expected {expected}")]
    Parameter {
        /// Kernel name.
        kernel: &'static str,
        /// Parameter name.
        parameter: &'static str,
        /// What the kernel accepts.
        expected: String,
        /// What was given.
        found: String,
    },
    /// An operand is too short, absent, or of the wrong element kind.
    #[error("{kernel}: operand {operand}: expected {expected}, found {found}")]
    Operand {
        /// Kernel name.
        kernel: &'static str,
        /// Operand name.
        operand: String,
        /// What the kernel accepts.
        expected: String,
        /// What was given.
        found: String,
    },
}

impl KernelError {
    /// Shorthand for [`KernelError::Parameter`].
    pub fn parameter(
        kernel: &'static str,
        parameter: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::Parameter {
            kernel,
            parameter,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}
