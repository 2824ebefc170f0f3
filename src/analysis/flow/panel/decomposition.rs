//! Frame-level errors on steering: the residual decomposition, the census of modes, drive by drive.

use std::collections::BTreeMap;

use serde::Serialize;

use super::super::statistics::Mean;
use super::frame::{FrameErrors, FrameMeasures};

/// Mean steering chunk-L1 of each readout over a set of frames; none where the set is empty. The chunk-L1 of a
/// frame is the mean over the slots of |prediction - truth|.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Decomposition {
    /// One draw, expected over the draws.
    pub single: Option<f64>,
    /// Mean of all draws.
    pub meank: Option<f64>,
    /// Mode readout.
    pub mode: Option<f64>,
    /// Draw nearest to the mode readout.
    pub mode_medoid: Option<f64>,
    /// The better of the two modes' means; the mode readout where there is one mode.
    pub oracle_mode: Option<f64>,
    /// Best of the draws.
    pub best_draw: Option<f64>,
}

impl Decomposition {
    pub(super) fn of<'a>(frames: impl Iterator<Item = &'a FrameMeasures> + Clone) -> Self {
        let mean = |of: fn(&FrameErrors) -> f64| {
            let errors = frames.clone().map(|frame| of(&frame.errors));
            errors.collect::<Mean>().get()
        };
        Self {
            single: mean(|errors| errors.single),
            meank: mean(|errors| errors.meank),
            mode: mean(|errors| errors.mode),
            mode_medoid: mean(|errors| errors.mode_medoid),
            oracle_mode: mean(|errors| errors.oracle_mode),
            best_draw: mean(|errors| errors.best_draw),
        }
    }

    /// What choosing the larger mode costs against the better one: mode less oracle-mode.
    pub fn selection_regret(&self) -> Option<f64> {
        Some(self.mode? - self.oracle_mode?)
    }
}

/// How many frames of a set have two modes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Census {
    /// Frames of the set.
    pub frames: usize,
    /// Those with two modes.
    pub bimodal: usize,
    /// Their share.
    pub share: Option<f64>,
    /// Mean gap between the modes over them.
    pub separation: Option<f64>,
}

impl Census {
    pub(super) fn of<'a>(frames: impl Iterator<Item = &'a FrameMeasures>) -> Self {
        let (mut count, mut separation) = (0usize, Mean::default());
        for frame in frames {
            count += 1;
            if frame.bimodal {
                separation.add(frame.separation);
            }
        }
        Self {
            frames: count,
            bimodal: separation.count(),
            share: (count > 0).then(|| separation.count() as f64 / count as f64),
            separation: separation.get(),
        }
    }
}

/// One drive of the panel.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DriveRow {
    /// Which drive.
    pub drive: u32,
    /// Frames judged.
    pub frames: usize,
    /// Those with a spike.
    pub spike_frames: usize,
    /// Share of its frames with two modes.
    pub bimodal: Option<f64>,
    /// Share of its spike frames with two modes.
    pub bimodal_spike: Option<f64>,
    /// Readouts over every frame.
    pub decomposition_all: Decomposition,
    /// Readouts over spike frames.
    pub decomposition_spike: Decomposition,
}

/// One row a drive, in order of their numbers.
pub(super) fn by_drive(measures: &[FrameMeasures]) -> Vec<DriveRow> {
    let mut drives: BTreeMap<u32, Vec<&FrameMeasures>> = BTreeMap::new();
    for frame in measures {
        drives.entry(frame.drive).or_default().push(frame);
    }
    drives
        .into_iter()
        .map(|(drive, frames)| {
            let all = frames.iter().copied();
            let spike = frames.iter().copied().filter(|frame| frame.spike);
            let spikes = Census::of(spike.clone());
            DriveRow {
                drive,
                frames: frames.len(),
                spike_frames: spikes.frames,
                bimodal: Census::of(all.clone()).share,
                bimodal_spike: spikes.share,
                decomposition_all: Decomposition::of(all),
                decomposition_spike: Decomposition::of(spike),
            }
        })
        .collect()
}
