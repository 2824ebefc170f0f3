//! Checked views of recorded chunks: K draws of each frame, and one chunk of each frame.

use thiserror::Error;

/// What is wrong with arrays of chunks.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum FlowDataError {
    /// A dimension that must hold something is empty.
    #[error("{tensor}: {dimension} is 0, expected at least 1")]
    Empty {
        /// Which array.
        tensor: &'static str,
        /// Which dimension.
        dimension: &'static str,
    },
    /// The sizes multiply to more elements than can be addressed.
    #[error("{tensor}: its sizes multiply to more elements than can be addressed")]
    TooLarge {
        /// Which array.
        tensor: &'static str,
    },
    /// An array does not have the number of elements that its shape needs.
    #[error("{tensor}: expected {expected} elements, found {found}")]
    Length {
        /// Which array.
        tensor: &'static str,
        /// Elements needed.
        expected: usize,
        /// Elements given.
        found: usize,
    },
    /// Two arrays disagree about a size.
    #[error("{tensor}: {dimension} is {found}, expected {expected}")]
    Size {
        /// Which array.
        tensor: &'static str,
        /// Which dimension.
        dimension: &'static str,
        /// Size of the array it is compared with.
        expected: usize,
        /// Size given.
        found: usize,
    },
    /// A channel that the chunks do not have.
    #[error("{setting}: channel {found} does not exist, there are {channels}")]
    Channel {
        /// Which setting names it.
        setting: &'static str,
        /// Channels there are.
        channels: usize,
        /// Channel named.
        found: usize,
    },
    /// A frame that the arrays do not have.
    #[error("{tensor}: frame {found} does not exist, there are {frames}")]
    Frame {
        /// What names it.
        tensor: &'static str,
        /// Frames there are.
        frames: usize,
        /// Frame named.
        found: usize,
    },
    /// A setting outside its range.
    #[error("{setting}: expected {expected}, found {found}")]
    Setting {
        /// Name of the setting.
        setting: &'static str,
        /// Its range.
        expected: &'static str,
        /// The value given.
        found: String,
    },
    /// A number that must be finite is not.
    #[error("{tensor}, frame {frame}: not a finite number")]
    NotFinite {
        /// Which array.
        tensor: &'static str,
        /// Frame index.
        frame: usize,
    },
}

/// Checks that `found` elements fill `sizes` (name and size of each dimension; the first may be 0).
pub(crate) fn check_shape(
    tensor: &'static str,
    found: usize,
    sizes: &[(&'static str, usize)],
) -> Result<(), FlowDataError> {
    if let Some(&(dimension, _)) = sizes.iter().skip(1).find(|&&(_, size)| size == 0) {
        return Err(FlowDataError::Empty { tensor, dimension });
    }
    let expected = sizes
        .iter()
        .try_fold(1usize, |product, &(_, size)| product.checked_mul(size))
        .ok_or(FlowDataError::TooLarge { tensor })?;
    if found == expected {
        Ok(())
    } else {
        Err(FlowDataError::Length {
            tensor,
            expected,
            found,
        })
    }
}

/// Checks that two arrays agree about a size.
pub(crate) fn check_size(
    tensor: &'static str,
    dimension: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), FlowDataError> {
    if expected == found {
        Ok(())
    } else {
        Err(FlowDataError::Size {
            tensor,
            dimension,
            expected,
            found,
        })
    }
}

/// Recorded draws of every frame: raw actions `[frames, K, H, R]`.
#[derive(Debug, Clone, Copy)]
pub struct Draws<'a> {
    values: &'a [f32],
    frames: usize,
    draws: usize,
    horizon: usize,
    channels: usize,
}

impl<'a> Draws<'a> {
    /// A view of `values`, row-major `[frames, draws, horizon, channels]`.
    ///
    /// # Errors
    /// [`FlowDataError::Empty`] for no draw (K = 0), slot or channel; [`FlowDataError::Length`] where
    /// `values` does not fill the shape; [`FlowDataError::TooLarge`].
    pub fn new(
        values: &'a [f32],
        frames: usize,
        draws: usize,
        horizon: usize,
        channels: usize,
    ) -> Result<Self, FlowDataError> {
        let sizes = [
            ("frames", frames),
            ("number of draws K", draws),
            ("horizon H", horizon),
            ("number of raw channels R", channels),
        ];
        check_shape("draws", values.len(), &sizes)?;
        Ok(Self {
            values,
            frames,
            draws,
            horizon,
            channels,
        })
    }

    /// Frames.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Draws of each frame, K.
    pub fn draws(&self) -> usize {
        self.draws
    }

    /// Slots of a chunk, H.
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// Raw channels, R.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The draws of each frame, in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = FrameDraws<'a>> {
        let (horizon, channels) = (self.horizon, self.channels);
        self.values
            .chunks_exact(self.draws * horizon * channels)
            .map(move |values| FrameDraws {
                values,
                horizon,
                channels,
            })
    }

    /// The draws of one frame.
    pub fn frame(&self, frame: usize) -> Option<FrameDraws<'a>> {
        if frame >= self.frames {
            return None;
        }
        let size = self.draws * self.horizon * self.channels;
        let values = self.values.get(frame * size..(frame + 1) * size)?;
        Some(FrameDraws {
            values,
            horizon: self.horizon,
            channels: self.channels,
        })
    }
}

/// The draws of one frame: `[K, H, R]`.
#[derive(Debug, Clone, Copy)]
pub struct FrameDraws<'a> {
    values: &'a [f32],
    horizon: usize,
    channels: usize,
}

impl<'a> FrameDraws<'a> {
    /// Draws, K.
    pub fn draws(&self) -> usize {
        self.values.len() / (self.horizon * self.channels)
    }

    /// Slots of a chunk, H.
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// Raw channels, R.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The chunks `[H, R]` in order of draws.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.horizon * self.channels)
    }

    /// Every number, `[K, H, R]`.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Whether every number is finite.
    pub fn is_finite(&self) -> bool {
        self.values.iter().all(|value| value.is_finite())
    }
}

/// One chunk a frame, such as the truth or a readout: raw actions `[frames, H, R]`.
#[derive(Debug, Clone, Copy)]
pub struct Chunks<'a> {
    values: &'a [f32],
    frames: usize,
    horizon: usize,
    channels: usize,
}

impl<'a> Chunks<'a> {
    /// A view of `values`, row-major `[frames, horizon, channels]`.
    ///
    /// # Errors
    /// As [`Draws::new`].
    pub fn new(
        values: &'a [f32],
        frames: usize,
        horizon: usize,
        channels: usize,
    ) -> Result<Self, FlowDataError> {
        let sizes = [
            ("frames", frames),
            ("horizon H", horizon),
            ("number of raw channels R", channels),
        ];
        check_shape("truth", values.len(), &sizes)?;
        Ok(Self {
            values,
            frames,
            horizon,
            channels,
        })
    }

    /// Frames.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// Slots of a chunk, H.
    pub fn horizon(&self) -> usize {
        self.horizon
    }

    /// Raw channels, R.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The chunks `[H, R]` in order of frames.
    pub fn iter(&self) -> std::slice::ChunksExact<'a, f32> {
        self.values.chunks_exact(self.horizon * self.channels)
    }

    /// The chunk of one frame.
    pub fn frame(&self, frame: usize) -> Option<&'a [f32]> {
        let size = self.horizon * self.channels;
        let start = frame.checked_mul(size)?;
        self.values.get(start..start.checked_add(size)?)
    }

    /// Checks that draws are of the same frames, horizon and channels.
    pub(crate) fn check_draws(&self, draws: &Draws) -> Result<(), FlowDataError> {
        check_size("draws", "frames", self.frames, draws.frames)?;
        check_size("draws", "horizon H", self.horizon, draws.horizon)?;
        check_size(
            "draws",
            "number of raw channels R",
            self.channels,
            draws.channels,
        )
    }
}
