use thiserror::Error;

/// What can go wrong with a device.
#[derive(Debug, Error)]
pub enum DeviceError {
    /// No adapter fits the selection.
    #[error("no device matches \"{selector}\"; there is: {available}")]
    NotFound {
        /// What was asked for.
        selector: String,
        /// Adapters present, by name.
        available: String,
    },
    /// The adapter lacks something the engine cannot do without.
    #[error("device {device} lacks {what}")]
    Unsupported {
        /// Adapter name.
        device: String,
        /// Missing feature or limit.
        what: String,
    },
    /// A buffer or binding is over a limit of the adapter.
    #[error("{what} needs {bytes} bytes, over the {limit_name} of {limit} bytes of {device}")]
    TooLarge {
        /// What was to be allocated or bound.
        what: String,
        /// Bytes needed.
        bytes: u64,
        /// Name of the limit.
        limit_name: &'static str,
        /// The limit in bytes.
        limit: u64,
        /// Adapter name.
        device: String,
    },
    /// A launch needs more workgroups than the adapter starts in one dimension.
    #[error(
        "{what} needs {count} workgroups in one dimension, over the limit \
         max_compute_workgroups_per_dimension = {limit} of {device}"
    )]
    TooManyWorkgroups {
        /// What was to be launched.
        what: String,
        /// Workgroups needed.
        count: u32,
        /// The limit.
        limit: u32,
        /// Adapter name.
        device: String,
    },
    /// A software adapter would abandon a launch in the middle, without saying so.
    #[error(
        "{what} loops {count} times in one invocation, over the {limit} after which software adapters \
         such as {device} stop; use the CPU device"
    )]
    TooManyIterations {
        /// What was to be launched.
        what: String,
        /// Loop iterations of one invocation.
        count: u64,
        /// The limit.
        limit: u64,
        /// Adapter name.
        device: String,
    },
    /// The device ran out of memory.
    #[error("out of memory on {device} while allocating {what}: {message}")]
    OutOfMemory {
        /// Adapter name.
        device: String,
        /// What was to be allocated.
        what: String,
        /// The driver's words.
        message: String,
    },
    /// The device was lost; results of the work in flight are gone.
    #[error("device {device} was lost: {message}")]
    Lost {
        /// Adapter name.
        device: String,
        /// The driver's words.
        message: String,
    },
    /// The driver refused something that should have been valid.
    #[error("{device} refused {what}: {message}")]
    Refused {
        /// Adapter name.
        device: String,
        /// What was refused.
        what: String,
        /// The driver's words.
        message: String,
    },
}
