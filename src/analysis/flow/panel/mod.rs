//! The evaluation panel: truth and recorded draws to every number a flow policy is judged by.
//!
//! A *spike* is a slot of the truth whose |steering| is over 0.5 and a *flat* slot one below 0.05. The word
//! has three meanings, kept apart here: the slot table masks slots, the decomposition and the census mask
//! frames (any slot a spike; all slots flat), the fan masks frames near a spike in the first slot.

mod decomposition;
mod fan;
mod frame;
mod slots;

use std::collections::BTreeMap;

use rayon::prelude::*;
use serde::Serialize;

pub use decomposition::{Census, Decomposition, DriveRow};
pub use fan::{Fan, FanSubsets, SteeringSeries, fan};
pub use slots::{ChannelTable, Maneuver, MaskedError, VarianceTax};

use super::draws::{Chunks, Draws, FlowDataError, FrameDraws, check_size};
use super::readouts::ModeRule;
use super::statistics::{Mean, pearson};
use frame::{FrameMeasures, Signatures, measure};

/// The same measure over every frame (or slot), the flat ones and the spikes.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct BySubset<T> {
    /// Every frame or slot.
    pub all: T,
    /// The flat ones.
    pub flat: T,
    /// The spikes.
    pub spike: T,
}

/// Thresholds of the panel.
#[derive(Debug, Clone, PartialEq)]
pub struct PanelConfig {
    /// When a frame has two modes; its channel is the steering channel of the whole panel.
    pub mode: ModeRule,
    /// A slot is a spike where |steering| exceeds this.
    pub spike: f64,
    /// A slot is flat where |steering| is below this.
    pub flat: f64,
    /// Per raw channel, |action| above which a slot counts as a maneuver.
    pub maneuver_thresholds: Vec<f64>,
    /// Distances at which the fan counts hits.
    pub hit_distances: Vec<f64>,
    /// Frames by which the spike region of the fan reaches to either side of a spike.
    pub fan_pad: usize,
    /// Whether frames that follow each other in a drive do so in time. Where only some of the frames are
    /// there, shifts by a frame mean nothing, and there is no lag profile.
    pub consecutive: bool,
}

impl PanelConfig {
    /// The usual thresholds with steering on this channel: spikes over 0.5, flat below 0.05, hits within
    /// 0.05, 0.1 and 0.2, a region of 50 frames around spikes (6 suits drives whose events are dense).
    pub fn new(steering: usize, maneuver_thresholds: Vec<f64>) -> Self {
        Self {
            mode: ModeRule::on_channel(steering),
            spike: 0.5,
            flat: 0.05,
            maneuver_thresholds,
            hit_distances: vec![0.05, 0.1, 0.2],
            fan_pad: 50,
            consecutive: true,
        }
    }

    /// The steering channel.
    pub fn steering(&self) -> usize {
        self.mode.channel
    }

    fn check(&self, channels: usize) -> Result<(), FlowDataError> {
        self.mode.check(channels)?;
        check_size(
            "maneuver thresholds",
            "number of raw channels R",
            channels,
            self.maneuver_thresholds.len(),
        )?;
        let numbers = [
            ("spike threshold", self.spike),
            ("flat threshold", self.flat),
        ]
        .into_iter()
        .chain(
            self.maneuver_thresholds
                .iter()
                .map(|&value| ("maneuver threshold", value)),
        )
        .chain(
            self.hit_distances
                .iter()
                .map(|&value| ("hit distance", value)),
        );
        for (setting, value) in numbers {
            if !(value.is_finite() && value >= 0.0) {
                return Err(FlowDataError::Setting {
                    setting,
                    expected: "a finite number of at least 0",
                    found: value.to_string(),
                });
            }
        }
        Ok(())
    }
}

/// What the panel is made from.
#[derive(Debug, Clone, Copy)]
pub struct PanelInput<'a> {
    /// True chunks, `[frames, H, R]`.
    pub truth: Chunks<'a>,
    /// Recorded draws, `[frames, K, H, R]`.
    pub draws: Draws<'a>,
    /// Drive of each frame; the frames of a drive follow each other in time.
    pub drives: &'a [u32],
}

impl PanelInput<'_> {
    fn check(&self) -> Result<(), FlowDataError> {
        self.truth.check_draws(&self.draws)?;
        check_size("drives", "frames", self.truth.frames(), self.drives.len())
    }

    /// For each frame, whether its truth and its draws are finite.
    pub(crate) fn finite_frames(&self) -> Vec<bool> {
        let pairs = self.truth.iter().zip(self.draws.iter());
        pairs
            .map(|(truth, draws)| truth.iter().all(|value| value.is_finite()) && draws.is_finite())
            .collect()
    }
}

/// Correlation between predicted and true chunk-mean steering, over frames; none where a side is constant.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct ChunkCorrelation {
    /// First draw.
    #[serde(rename = "chunk_mean_corr_draw0")]
    pub draw0: Option<f64>,
    /// Mean of all draws.
    #[serde(rename = "chunk_mean_corr_meank")]
    pub meank: Option<f64>,
    /// Mode readout.
    #[serde(rename = "chunk_mean_corr_mode")]
    pub mode: Option<f64>,
}

/// Every number of the panel. A mean over an empty set is none (null in JSON).
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Panel {
    /// Frames that were judged.
    pub frames: usize,
    /// Frames left out because their truth or a draw is not finite.
    pub dropped: usize,
    /// Draws of each frame, K.
    pub draws: usize,
    /// Per raw channel, the mean-of-K table with slot masks.
    pub slot_level: BTreeMap<usize, ChannelTable>,
    /// Steering chunk-L1 of the readouts over every frame.
    pub decomposition_all: Decomposition,
    /// Over flat frames.
    pub decomposition_flat: Decomposition,
    /// Over spike frames.
    pub decomposition_spike: Decomposition,
    /// Over frames with two modes.
    pub decomposition_bimodal: Decomposition,
    /// Over spike frames with two modes.
    pub decomposition_bimodal_spike: Decomposition,
    /// Mode less oracle-mode on spike frames: what choosing the wrong mode costs.
    pub selection_regret: Option<f64>,
    /// Best draw on spike frames: what no choice among the draws can beat.
    pub coverage_floor: Option<f64>,
    /// How many frames have two modes.
    pub census: BySubset<Census>,
    /// The same, drive by drive.
    pub drives: Vec<DriveRow>,
    /// Correlation of chunk means.
    #[serde(flatten)]
    pub chunk_mean_correlation: ChunkCorrelation,
    /// Per raw channel, L1 of the first draw over maneuver slots.
    pub maneuver_l1_draw0: BTreeMap<usize, Maneuver>,
    /// L1 of the first draw over every slot and channel.
    pub sample_l1_draw0: Option<f64>,
    /// First-slot fan and lag profile.
    pub fan: Fan,
}

/// Makes the panel.
///
/// # Errors
/// [`FlowDataError`] where truth, draws, drives and thresholds disagree about a size, the steering channel does
/// not exist, or a threshold is not a number.
pub fn evaluate(input: &PanelInput, config: &PanelConfig) -> Result<Panel, FlowDataError> {
    input.check()?;
    config.check(input.truth.channels())?;
    let kept = input.finite_frames();
    let frames: Vec<(&[f32], FrameDraws, u32)> = input
        .truth
        .iter()
        .zip(input.draws.iter())
        .zip(input.drives)
        .zip(&kept)
        .filter(|(_, kept)| **kept)
        .map(|(((truth, draws), &drive), _)| (truth, draws, drive))
        .collect();
    let counts = slots::mean_of_k_counts(input.draws.draws());
    let measures: Vec<FrameMeasures> = frames
        .par_iter()
        .map(|&(truth, draws, drive)| measure(truth, draws, drive, &counts, config))
        .collect();
    let subset = |keep: fn(&FrameMeasures) -> bool| {
        Decomposition::of(measures.iter().filter(|frame| keep(frame)))
    };
    let spike = subset(|frame| frame.spike);
    let series = SteeringSeries::of_kept(input, config.steering(), &kept)?;
    Ok(Panel {
        frames: measures.len(),
        dropped: kept.len() - measures.len(),
        draws: input.draws.draws(),
        slot_level: slots::slot_level(&measures, input, &counts),
        decomposition_all: subset(|_| true),
        decomposition_flat: subset(|frame| frame.flat),
        decomposition_spike: spike,
        decomposition_bimodal: subset(|frame| frame.bimodal),
        decomposition_bimodal_spike: subset(|frame| frame.bimodal && frame.spike),
        selection_regret: spike.selection_regret(),
        coverage_floor: spike.best_draw,
        census: BySubset {
            all: Census::of(measures.iter()),
            flat: Census::of(measures.iter().filter(|frame| frame.flat)),
            spike: Census::of(measures.iter().filter(|frame| frame.spike)),
        },
        drives: decomposition::by_drive(&measures),
        chunk_mean_correlation: correlations(&measures),
        maneuver_l1_draw0: slots::maneuvers(&frames, config),
        sample_l1_draw0: sample_l1(&frames),
        fan: fan(&series, config)?,
    })
}

fn correlations(measures: &[FrameMeasures]) -> ChunkCorrelation {
    let correlate = |of: fn(&Signatures) -> f64| {
        let pairs: Vec<(f64, f64)> = measures
            .iter()
            .map(|frame| (of(&frame.signatures), frame.signatures.truth))
            .collect();
        pearson(&pairs)
    };
    ChunkCorrelation {
        draw0: correlate(|signatures| signatures.draw0),
        meank: correlate(|signatures| signatures.meank),
        mode: correlate(|signatures| signatures.mode),
    }
}

/// L1 of the first draw over every slot and channel of the frames.
fn sample_l1(frames: &[(&[f32], FrameDraws, u32)]) -> Option<f64> {
    let errors = frames.iter().flat_map(|&(truth, draws, _)| {
        let first = draws.iter().next().unwrap_or_default();
        let pairs = first.iter().zip(truth);
        pairs.map(|(&value, &truth)| (f64::from(value) - f64::from(truth)).abs())
    });
    errors.collect::<Mean>().get()
}
