//! The recorded first observations of the evaluation episodes, with the maps to walk on.

use anyhow::Result;
use attractor::formats::ArrayMap;
use attractor::models::remdm::DenoiserConfig;
use attractor::samplers::Observations;
use attractor::worlds::minihack::{
    Cell, Environment, Grid, MAP_COLS, MAP_ROWS, WalkMap, agent_cell, environment,
};

const MAP: usize = MAP_ROWS * MAP_COLS;

/// Recorded observations.
#[derive(Debug)]
pub struct Episodes {
    chars: Vec<u8>,
    local: Vec<i32>,
    global: Vec<i32>,
    crop: usize,
    environments: Vec<Environment>,
    of: Vec<usize>,
}

/// The map of one observation.
#[derive(Debug)]
pub struct Place {
    /// Where one can walk.
    pub ground: WalkMap,
    /// The agent.
    pub start: Cell,
    /// The staircase, if it is seen.
    pub stairs: Option<Cell>,
    /// Cells of a shortest path to it, both ends included, if the map shows a way.
    pub shortest: Option<Vec<Cell>>,
}

impl Episodes {
    /// Reads the arrays of a recording.
    pub fn read(arrays: &ArrayMap, config: &DenoiserConfig) -> Result<Self> {
        let count = arrays.get("env")?.len();
        let names = arrays.get("env_names")?.len();
        let environments: Result<Vec<Environment>> = arrays
            .expect_strings("env_names", &[names])?
            .iter()
            .map(|name| {
                environment(name)
                    .copied()
                    .ok_or_else(|| anyhow::anyhow!("env_names: no environment \"{name}\" is known"))
            })
            .collect();
        let of: Result<Vec<usize>> = arrays
            .expect_i32("env", &[count])?
            .into_iter()
            .map(|index| {
                usize::try_from(index)
                    .ok()
                    .filter(|&index| index < names)
                    .ok_or_else(|| anyhow::anyhow!("env: expected 0..{names}, found {index}"))
            })
            .collect();
        let chars: Vec<u8> = arrays
            .expect_i32("chars", &[count, MAP_ROWS, MAP_COLS])?
            .into_iter()
            .map(|code| u8::try_from(code).unwrap_or(b'?'))
            .collect();
        Ok(Self {
            chars,
            local: arrays.expect_i32("local_obs", &[count, config.crop_size, config.crop_size])?,
            global: arrays.expect_i32("global_obs", &[count, MAP_ROWS, MAP_COLS])?,
            crop: config.crop_size,
            environments: environments?,
            of: of?,
        })
    }

    /// Number of observations.
    pub fn len(&self) -> usize {
        self.of.len()
    }

    /// The environments, in the order of the recording.
    pub fn environments(&self) -> &[Environment] {
        &self.environments
    }

    /// Which environment an observation is of, as an index of [`Episodes::environments`].
    pub fn environment_of(&self, episode: usize) -> usize {
        self.of.get(episode).copied().unwrap_or(0)
    }

    /// The characters of an observation.
    pub fn chars(&self, episode: usize) -> Result<Grid<'_, u8>> {
        let cells = part(&self.chars, episode, MAP);
        Ok(Grid::new(cells, MAP_ROWS, MAP_COLS)?)
    }

    /// The observations of these episodes for the planner, in this order.
    pub fn observations(
        &self,
        config: &DenoiserConfig,
        episodes: &[usize],
    ) -> Result<Observations> {
        let gather = |values: &[i32], length: usize| -> Vec<i32> {
            let parts = episodes.iter().map(|&e| part(values, e, length));
            parts.flatten().copied().collect()
        };
        let local = gather(&self.local, self.crop * self.crop);
        Ok(Observations::new(config, local, gather(&self.global, MAP))?)
    }

    /// The map of an observation; `None` if no agent is seen on it.
    pub fn place(&self, episode: usize) -> Result<Option<Place>> {
        let chars = self.chars(episode)?;
        let glyphs = Grid::new(part(&self.global, episode, MAP), MAP_ROWS, MAP_COLS)?;
        let Some(start) = agent_cell(&chars) else {
            return Ok(None);
        };
        let ground = WalkMap::from_observation(&chars, &glyphs)?;
        let stairs = chars.find(|character| character == b'>');
        let shortest = stairs.and_then(|stairs| ground.shortest_path(start, stairs));
        Ok(Some(Place {
            ground,
            start,
            stairs,
            shortest,
        }))
    }
}

/// Row `index` of rows of `length` elements; empty outside.
fn part<T>(values: &[T], index: usize, length: usize) -> &[T] {
    let start = index.saturating_mul(length);
    values
        .get(start..start.saturating_add(length))
        .unwrap_or_default()
}
