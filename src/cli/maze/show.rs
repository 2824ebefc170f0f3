//! `attractor maze show`.

use super::options::PlanningArguments;
use crate::cli::exit::Outcome;
use crate::cli::output::print;
use anyhow::Result;
use attractor::device::Selection;
use attractor::worlds::maze::{
    Action, Atlas, EpisodeSettings, Episodes, Lane, Layout, MazeModel, Position,
};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Arguments of `maze show`.
#[derive(Debug, clap::Args)]
pub struct ShowArguments {
    #[command(flatten)]
    planning: PlanningArguments,
    /// Seed of the planner
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Moves of the episode at most
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    episode_horizon: usize,
}

/// Draws the maze and an episode of a planner that knows it.
pub fn run(arguments: &ShowArguments, selector: &str) -> Result<Outcome> {
    let layout = arguments.planning.layout()?;
    let Selection { device, .. } = Selection::by_name(selector)?;
    let best = layout.shortest_path();
    let settings = EpisodeSettings {
        episodes: 1,
        horizon: arguments.episode_horizon,
        kept_calls: usize::MAX,
        ..arguments.planning.settings(EpisodeSettings::published())
    };
    let mut atlas = Atlas::new(&layout, &device, vec![MazeModel::True])?;
    let lane = Lane {
        model: 0,
        seed: arguments.seed,
        stream: 0,
    };
    let episodes = Episodes::run(&mut atlas, &[lane], settings)?;
    let mut text = format!(
        "{} x {}, {} free cells; shortest way {} moves\n\n{}",
        layout.width(),
        layout.height(),
        layout.free().len(),
        best.len(),
        drawing(&layout, layout.start(), &best),
    );
    for result in &episodes {
        for (number, call) in result.calls.iter().enumerate() {
            writeln!(
                text,
                "\nplan {} from {}, {} moves left: {}",
                number + 1,
                call.at,
                call.remaining,
                names(&call.plan)
            )?;
            text += &drawing(&layout, call.at, &call.plan);
        }
        if let Some(episode) = result.episodes.first() {
            let end = if episode.success { "reached" } else { "missed" };
            writeln!(
                text,
                "\ngoal {end} after {} moves and {} plans ({})",
                episode.steps,
                episode.plans,
                arguments.planning.words()
            )?;
        }
    }
    print(&text)?;
    Ok(Outcome::Good)
}

fn names(plan: &[Action]) -> String {
    let names: Vec<&str> = plan.iter().map(|action| action.name()).collect();
    names.join(" ")
}

/// The maze with an arrow on every cell that a plan leaves, the last move where it leaves it more often.
fn drawing(layout: &Layout, from: Position, plan: &[Action]) -> String {
    let mut arrows = BTreeMap::new();
    let mut at = from;
    for action in plan {
        let next = layout.step(at, *action);
        if next == layout.goal() || next != at {
            let arrow = match action {
                Action::Up => '^',
                Action::Down => 'v',
                Action::Left => '<',
                Action::Right => '>',
            };
            arrows.insert(at, arrow);
        }
        at = next;
        if at == layout.goal() {
            break;
        }
    }
    let mut text = String::new();
    for (row, cells) in layout.rows().iter().enumerate() {
        let y = layout.height() as i32 - 1 - row as i32;
        for (x, cell) in cells.chars().enumerate() {
            let here = Position::new(x as i32, y);
            let drawn = match cell {
                '.' => arrows.get(&here).copied().unwrap_or(' '),
                'S' if here != from => 'S',
                'S' => arrows.get(&here).copied().unwrap_or('S'),
                other => other,
            };
            text.push(if here == at && cell == '.' {
                '@'
            } else {
                drawn
            });
        }
        text.push('\n');
    }
    text
}
