use crate::graph::GraphError;
use thiserror::Error;

/// Why plans through tables cannot be made.
#[derive(Debug, Error)]
pub enum TabularError {
    /// A setting, or a table, out of its range.
    #[error("planner: {what}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        what: &'static str,
        /// Its range.
        expected: String,
        /// Its value.
        found: String,
    },
    /// The graph or the device.
    #[error(transparent)]
    Graph(#[from] GraphError),
}

impl TabularError {
    pub(super) fn setting(
        what: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        Self::Setting {
            what,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}
