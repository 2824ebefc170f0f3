//! A committed sweep, trained, measured and planned anew.

use super::engine;
use crate::analysis::maze::{MazeBundle, SweepSettings, shipped_weights, sweep};
use crate::device::Device;
use crate::samplers::tabular::{DrawSource, Method, TabularSettings};
use crate::verify::checks::{CaseError, Checks};
use crate::verify::folder::Node;
use crate::worlds::maze::{EpisodeSettings, INPUTS, Layout, OUTPUTS};

/// Compares every cell of a bundle with one made anew from the shipped initial weights. A bundle whose
/// initial weights are not shipped cannot be made again, which is told.
pub(in crate::verify::worldmodel) fn published(
    index: &Node<'_>,
    device: &Device,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let config = index.get("config")?;
    let cells = index.get("cells")?.elements()?;
    let (mut epochs, mut seeds) = (Vec::new(), Vec::new());
    for cell in &cells {
        let own = (cell.size("epochs")? as u32, cell.size("seed")? as u64);
        if !epochs.contains(&own.0) {
            epochs.push(own.0);
        }
        if !seeds.contains(&own.1) {
            seeds.push(own.1);
        }
    }
    let settings = SweepSettings {
        epochs,
        seeds,
        hidden: config.size("hidden")?,
        k_steps: config.size("k_steps")?,
        episodes: EpisodeSettings {
            episodes: config.size("episodes")?,
            horizon: config.size("episode_horizon")?,
            planner: TabularSettings {
                method: Method::Shooting {
                    candidates: config.size("num_candidates")?,
                },
                horizon: config.size("plan_horizon")?,
            },
            draws: DrawSource::Python,
            kept_calls: 0,
        },
        growth_sequences: None,
    };
    let weights = shipped_weights(None).map_err(engine)?;
    let widths = [INPUTS, settings.hidden, settings.hidden, OUTPUTS];
    let is_known = |seed: &u64| {
        let mut known = weights.iter();
        known.any(|(other, parameters)| other == seed && parameters.widths() == widths)
    };
    if let Some(seed) = settings.seeds.iter().find(|seed| !is_known(seed)) {
        checks.remark(format!(
            "not trained anew: no initial weights of seed {seed} at width {} are shipped",
            settings.hidden
        ));
        return Ok(());
    }
    let layout = Layout::published().map_err(engine)?;
    let found = sweep(device, &layout, &settings, &weights).map_err(engine)?;
    let found = MazeBundle::cells_of(&found);
    checks.equal("cells", &[found.len()], &[cells.len()]);
    for (golden, found) in cells.iter().zip(&found) {
        let mut found = serde_json::to_value(found).map_err(engine)?;
        let known = found.as_object_mut();
        let known = known.map(std::mem::take).unwrap_or_default();
        let name = format!("e{}_s{}", golden.size("epochs")?, golden.size("seed")?);
        for (key, entry) in golden.entries() {
            let own = known.get(key);
            checks.hold(own == Some(entry.json()), || {
                let own = own.map_or("nothing".into(), ToString::to_string);
                format!("{name}.{key}: expected {}, found {own}", entry.json())
            });
        }
    }
    checks.remark(format!(
        "{} cells trained, measured and planned anew",
        found.len()
    ));
    Ok(())
}
