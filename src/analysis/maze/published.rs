//! The study as it was published.

use super::sweep::{SweepSettings, sweep};
use super::{BundleCell, MazeBundle};
use crate::device::Device;
use crate::formats::{ArrayMap, Limits, parse_arrays};
use crate::training::mlp::MlpParameters;
use crate::worlds::maze::{Layout, MazeError};
use std::path::Path;

/// Epochs of the published cells.
pub const PUBLISHED_EPOCHS: [u32; 8] = [2, 4, 8, 16, 32, 64, 150, 400];
/// Seeds of the published cells.
pub const PUBLISHED_SEEDS: [u64; 3] = [0, 1, 2];

/// Initial weights of the published study: PyTorch's, of its own random stream, which is not remade here.
const INITIAL: &[u8] = include_bytes!("../../../assets/maze_mlp_init.safetensors");

/// Initial weights by seed out of a state dict with tensors `init_s{SEED}_h{WIDTH}.net.*`.
///
/// # Errors
/// [`MazeError`] naming the tensor that does not fit, and for a file without any.
fn weights_by_seed(map: &ArrayMap) -> Result<Vec<(u64, MlpParameters)>, MazeError> {
    let mut all = Vec::new();
    for name in map.names() {
        let Some(prefix) = name.strip_suffix(".0.weight") else {
            continue;
        };
        let seed = prefix.strip_prefix("init_s").and_then(|rest| {
            let digits = rest.split('_').next()?;
            digits.parse::<u64>().ok()
        });
        if let Some(seed) = seed {
            all.push((seed, MlpParameters::read(map, prefix)?));
        }
    }
    if all.is_empty() {
        let found = map.file().display().to_string();
        let expected = "tensors init_s{SEED}_h{WIDTH}.net.0.weight and so on";
        return Err(MazeError::setting("initial weights", expected, found));
    }
    Ok(all)
}

/// Initial weights by seed: those of `file`, or the shipped ones of seeds 0, 1 and 2 at width 32.
///
/// # Errors
/// [`MazeError`] naming file and tensor that do not fit.
pub fn shipped_weights(file: Option<&ArrayMap>) -> Result<Vec<(u64, MlpParameters)>, MazeError> {
    if let Some(map) = file {
        return weights_by_seed(map);
    }
    let name = Path::new("shipped initial weights");
    weights_by_seed(&parse_arrays(name, INITIAL, &Limits::default())?)
}

/// The 24 cells of the published study, trained, measured and planned with anew, rounded as published.
///
/// # Errors
/// [`MazeError`] from training and from the device.
pub fn published_sweep(device: &Device) -> Result<Vec<BundleCell>, MazeError> {
    let settings = SweepSettings::published();
    let cells = sweep(
        device,
        &Layout::published()?,
        &settings,
        &shipped_weights(None)?,
    )?;
    Ok(MazeBundle::cells_of(&cells))
}
