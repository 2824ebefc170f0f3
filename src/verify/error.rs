/// Why a folder cannot be verified at all.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A folder or its index cannot be read.
    #[error("{path}: {message}")]
    Read {
        /// Folder or file.
        path: String,
        /// What the system or the parser says.
        message: String,
    },
    /// No goldens at or below it.
    #[error(
        "{path}: expected a golden folder (an index.json of a known family, or its files), found none there or below"
    )]
    NotGolden {
        /// The folder.
        path: String,
    },
}
