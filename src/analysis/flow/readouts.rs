//! Readouts: K draws of a frame to the one chunk that is driven.

use std::fmt;
use std::str::FromStr;

use rayon::prelude::*;
use thiserror::Error;

use super::draws::{Draws, FlowDataError, FrameDraws, check_shape};

/// When the draws of a frame are held to have two modes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModeRule {
    /// Channel whose mean over the slots is the signature of a draw (steering).
    pub channel: usize,
    /// The largest gap between neighbouring signatures must exceed this.
    pub gap: f64,
    /// The smaller side must hold at least this share of the draws.
    pub min_fraction: f64,
}

impl ModeRule {
    /// The usual rule on this channel: a gap over 0.15, at least an eighth of the draws on either side.
    pub fn on_channel(channel: usize) -> Self {
        Self {
            channel,
            gap: 0.15,
            min_fraction: 0.125,
        }
    }

    /// Checks the rule against chunks of this many raw channels.
    ///
    /// # Errors
    /// [`FlowDataError::Channel`], [`FlowDataError::Setting`] for numbers that are not finite or negative.
    pub fn check(&self, channels: usize) -> Result<(), FlowDataError> {
        if self.channel >= channels {
            return Err(FlowDataError::Channel {
                setting: "channel of the mode rule",
                channels,
                found: self.channel,
            });
        }
        for (setting, value) in [
            ("gap of the mode rule", self.gap),
            ("smallest share of a mode", self.min_fraction),
        ] {
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

/// The draws of a frame cut at the largest gap between their signatures.
#[derive(Debug, Clone, PartialEq)]
pub struct ModeSplit {
    /// Whether both sides count as modes.
    pub bimodal: bool,
    /// Width of the largest gap; 0 for one draw, none where a signature is not finite.
    pub separation: Option<f64>,
    /// Draws on the larger side.
    pub dominant: usize,
    /// Draws on the smaller side.
    pub minority: usize,
    /// For each draw, whether it lies below the gap.
    pub left: Vec<bool>,
    /// Whether the larger side is the one below the gap (so on equal sizes).
    pub dominant_left: bool,
}

impl ModeSplit {
    /// Cuts the draws of a frame: signatures (mean over the slots of one channel) are sorted, equal ones in
    /// order of draws, and cut at the first of the largest gaps.
    ///
    /// The channel of `rule` must exist; see [`ModeRule::check`].
    pub fn of(frame: FrameDraws, rule: &ModeRule) -> Self {
        let signatures: Vec<f64> = frame
            .iter()
            .map(|chunk| channel_mean(chunk, frame.channels(), rule.channel))
            .collect();
        let count = signatures.len();
        if !signatures.iter().all(|value| value.is_finite()) {
            return Self {
                bimodal: false,
                separation: None,
                dominant: count,
                minority: 0,
                left: vec![true; count],
                dominant_left: true,
            };
        }
        let mut order: Vec<(usize, f64)> = signatures.into_iter().enumerate().collect();
        order.sort_by(|a, b| a.1.total_cmp(&b.1));
        let gaps = order.windows(2).map(|pair| match pair {
            [a, b] => b.1 - a.1,
            _ => 0.0,
        });
        let mut below = count;
        let mut separation = f64::NEG_INFINITY;
        for (index, gap) in gaps.enumerate() {
            if gap > separation {
                (below, separation) = (index + 1, gap);
            }
        }
        if below == count {
            separation = 0.0;
        }
        let mut left = vec![false; count];
        for &(draw, _) in order.iter().take(below) {
            if let Some(side) = left.get_mut(draw) {
                *side = true;
            }
        }
        let (above, smaller) = (count - below, below.min(count - below));
        Self {
            bimodal: separation > rule.gap && smaller as f64 / count as f64 >= rule.min_fraction,
            separation: Some(separation),
            dominant: below.max(above),
            minority: smaller,
            left,
            dominant_left: below >= above,
        }
    }

    /// For each draw, whether the mode readout averages it: the larger side where there are two modes,
    /// every draw otherwise.
    pub fn members(&self) -> Vec<bool> {
        let member = |&left: &bool| !self.bimodal || left == self.dominant_left;
        self.left.iter().map(member).collect()
    }
}

/// Mean over the slots of one channel of a chunk `[H, R]`.
pub(crate) fn channel_mean(chunk: &[f32], channels: usize, channel: usize) -> f64 {
    let slots = chunk.len() / channels;
    let sum: f64 = chunk
        .iter()
        .skip(channel)
        .step_by(channels)
        .map(|&value| f64::from(value))
        .sum();
    sum / slots as f64
}

/// Mean chunk `[H, R]` over the first `count` draws.
pub(crate) fn mean_of_first(frame: FrameDraws, count: usize) -> Vec<f64> {
    let members = (0..frame.draws()).map(|draw| draw < count);
    mean_of_members(frame, members)
}

/// Mean chunk `[H, R]` over the draws for which `members` says so.
pub(crate) fn mean_of_members(
    frame: FrameDraws,
    members: impl IntoIterator<Item = bool>,
) -> Vec<f64> {
    let weights = members.into_iter().map(f64::from);
    weighted_mean(frame, weights)
}

/// Mean chunk `[H, R]` weighted by draw. A draw of weight 0 is left out whatever it holds.
fn weighted_mean(frame: FrameDraws, weights: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut total = 0.0;
    let mut mean = vec![0.0; frame.horizon() * frame.channels()];
    for (chunk, weight) in frame.iter().zip(weights) {
        if weight == 0.0 {
            continue;
        }
        total += weight;
        for (sum, &value) in mean.iter_mut().zip(chunk) {
            *sum += weight * f64::from(value);
        }
    }
    for sum in &mut mean {
        *sum /= total;
    }
    mean
}

/// Index of the member nearest to `mean` in Euclidean distance over the whole chunk, the first on ties; none
/// where a member is not finite.
pub(crate) fn medoid(frame: FrameDraws, members: &[bool], mean: &[f64]) -> Option<usize> {
    let mut nearest: Option<(usize, f64)> = None;
    for (draw, (chunk, _)) in frame
        .iter()
        .zip(members)
        .enumerate()
        .filter(|(_, (_, member))| **member)
    {
        if !chunk.iter().all(|value| value.is_finite()) {
            return None;
        }
        let distance: f64 = chunk
            .iter()
            .zip(mean)
            .map(|(&value, mean)| (f64::from(value) - mean).powi(2))
            .sum();
        if nearest.is_none_or(|(_, least)| distance < least) {
            nearest = Some((draw, distance));
        }
    }
    nearest.map(|(draw, _)| draw)
}

/// A chunk as f64.
pub(crate) fn widen(chunk: &[f32]) -> Vec<f64> {
    chunk.iter().map(|&value| f64::from(value)).collect()
}

/// Chunk of the mode readout and, where every member is finite, the draw nearest to it.
pub(crate) fn mode_chunks(frame: FrameDraws, split: &ModeSplit) -> (Vec<f64>, Option<usize>) {
    let members = split.members();
    let mean = mean_of_members(frame, members.iter().copied());
    let draw = medoid(frame, &members, &mean);
    (mean, draw)
}

/// Softmax of `scores / temperature`.
pub(crate) fn softmax(scores: &[f32], temperature: f64) -> Vec<f64> {
    let scores = scores.iter().map(|&score| f64::from(score));
    let largest = scores.clone().fold(f64::NEG_INFINITY, f64::max);
    // The difference first: scores over a tiny temperature overflow.
    let powers: Vec<f64> = scores
        .map(|score| ((score - largest) / temperature).exp())
        .collect();
    let total: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / total).collect()
}

/// For each draw, whether it is among the `count` best scored, earlier draws first on ties.
pub(crate) fn best_scored(scores: &[f32], count: usize) -> Vec<bool> {
    let mut order: Vec<(usize, f32)> = scores.iter().copied().enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    let mut best = vec![false; scores.len()];
    for (draw, _) in order.into_iter().take(count) {
        if let Some(member) = best.get_mut(draw) {
            *member = true;
        }
    }
    best
}

/// How K draws become one chunk.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Readout {
    /// The first draw.
    Single,
    /// The mean of all draws.
    MeanK,
    /// The mean of the larger mode; of all draws where there is one mode.
    Mode,
    /// The draw of that mode nearest to its mean.
    ModeMedoid,
    /// The mean weighted by softmax(score / temperature).
    Ranker {
        /// Divides the scores; above 0.
        temperature: f64,
    },
    /// The mean of the M draws with the highest scores.
    TopM(usize),
}

/// Temperature of [`Readout::Ranker`] unless told otherwise.
const RANKER_TEMPERATURE: f64 = 4.0;

/// A readout that cannot be read or applied.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ReadoutError {
    /// No readout has this name.
    #[error(
        "readout {found:?}: expected single, meank, mode, mode_medoid, ranker, ranker:TEMPERATURE or top:M"
    )]
    Name {
        /// The text given.
        found: String,
    },
    /// The readout weighs draws by scores and none were given.
    #[error("readout {readout} needs the scores of a ranker")]
    NoScores {
        /// The readout.
        readout: String,
    },
    /// Arrays or settings that do not fit.
    #[error(transparent)]
    Data(#[from] FlowDataError),
}

impl fmt::Display for Readout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single => f.write_str("single"),
            Self::MeanK => f.write_str("meank"),
            Self::Mode => f.write_str("mode"),
            Self::ModeMedoid => f.write_str("mode_medoid"),
            Self::Ranker { temperature } => write!(f, "ranker:{temperature}"),
            Self::TopM(count) => write!(f, "top:{count}"),
        }
    }
}

impl FromStr for Readout {
    type Err = ReadoutError;

    fn from_str(text: &str) -> Result<Self, ReadoutError> {
        let unknown = || ReadoutError::Name {
            found: text.to_owned(),
        };
        let readout = match text.split_once(':') {
            None => match text {
                "single" => Self::Single,
                "meank" => Self::MeanK,
                "mode" => Self::Mode,
                "mode_medoid" => Self::ModeMedoid,
                "ranker" => Self::Ranker {
                    temperature: RANKER_TEMPERATURE,
                },
                _ => return Err(unknown()),
            },
            Some(("ranker", number)) => Self::Ranker {
                temperature: number.parse().map_err(|_| unknown())?,
            },
            Some(("top", number)) => Self::TopM(number.parse().map_err(|_| unknown())?),
            Some(_) => return Err(unknown()),
        };
        readout.check()?;
        Ok(readout)
    }
}

impl Readout {
    /// Whether it weighs draws by the scores of a ranker.
    pub fn needs_scores(&self) -> bool {
        matches!(self, Self::Ranker { .. } | Self::TopM(_))
    }

    fn check(&self) -> Result<(), FlowDataError> {
        let bad = |setting, expected, found| {
            Err(FlowDataError::Setting {
                setting,
                expected,
                found,
            })
        };
        match *self {
            Self::Ranker { temperature } if !(temperature.is_finite() && temperature > 0.0) => bad(
                "temperature of the ranker",
                "a finite number above 0",
                temperature.to_string(),
            ),
            Self::TopM(0) => bad("M of top", "at least 1", "0".to_owned()),
            _ => Ok(()),
        }
    }

    /// The chunk `[H, R]` of one frame. `rule` must have been checked; `scores` hold one number a draw where
    /// the readout needs them.
    pub(crate) fn apply(&self, frame: FrameDraws, scores: &[f32], rule: &ModeRule) -> Vec<f64> {
        match *self {
            Self::Single => mean_of_first(frame, 1),
            Self::MeanK => mean_of_first(frame, frame.draws()),
            Self::Mode => mode_chunks(frame, &ModeSplit::of(frame, rule)).0,
            Self::ModeMedoid => {
                let (mean, draw) = mode_chunks(frame, &ModeSplit::of(frame, rule));
                match draw.and_then(|draw| frame.iter().nth(draw)) {
                    Some(chunk) => widen(chunk),
                    None => mean,
                }
            }
            Self::Ranker { temperature } => weighted_mean(frame, softmax(scores, temperature)),
            Self::TopM(count) => mean_of_members(frame, best_scored(scores, count)),
        }
    }
}

/// One chunk a frame, `[frames, H, R]`. `scores` (`[frames, K]`) are read only by the readouts that need them.
/// A draw that is not finite stays in the readouts that take it in.
///
/// # Errors
/// [`ReadoutError::NoScores`], and [`ReadoutError::Data`] for a rule, temperature, M or scores that do not fit
/// or are not finite.
pub fn read_out(
    readout: Readout,
    draws: &Draws,
    scores: Option<&[f32]>,
    rule: &ModeRule,
) -> Result<Vec<f64>, ReadoutError> {
    rule.check(draws.channels())?;
    readout.check()?;
    let frames: Vec<FrameDraws> = draws.iter().collect();
    let scores: Vec<&[f32]> = if readout.needs_scores() {
        let scores = scores.ok_or_else(|| ReadoutError::NoScores {
            readout: readout.to_string(),
        })?;
        check_scores(scores, draws)?;
        scores.chunks_exact(draws.draws()).collect()
    } else {
        vec![&[]; frames.len()]
    };
    let chunks: Vec<Vec<f64>> = frames
        .par_iter()
        .zip(&scores)
        .map(|(&frame, scores)| readout.apply(frame, scores, rule))
        .collect();
    Ok(chunks.concat())
}

/// Checks that there is one finite score a draw.
pub(crate) fn check_scores(scores: &[f32], draws: &Draws) -> Result<(), FlowDataError> {
    let sizes = [
        ("frames", draws.frames()),
        ("number of draws K", draws.draws()),
    ];
    check_shape("scores", scores.len(), &sizes)?;
    match scores.iter().position(|score| !score.is_finite()) {
        Some(position) => Err(FlowDataError::NotFinite {
            tensor: "scores",
            frame: position / draws.draws(),
        }),
        None => Ok(()),
    }
}
