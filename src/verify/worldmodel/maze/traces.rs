//! Planning calls and episodes under the true dynamics.

use super::{all_known, engine, integers, layout, of_calls, of_episodes};
use crate::analysis::maze::action_sequence;
use crate::device::Device;
use crate::samplers::tabular::{DrawSource, Method, TabularSettings};
use crate::verify::checks::{CaseError, Cases, Checks};
use crate::verify::folder::{Folder, Node};
use crate::worlds::maze::{Atlas, EpisodeSettings, Episodes, Lane, MazeModel};

const ENTRIES: &[&str] = &[
    "planner",
    "dynamics",
    "layout",
    "seed",
    "plan_horizon",
    "episode_horizon",
    "plan_calls",
    "episodes",
    "success_rate",
];
const OF_SHOOTING: &[&str] = &["num_candidates", "first_call_first_candidates"];
const OF_CROSS_ENTROPY: &[&str] = &["num_iterations", "num_samples", "num_elites", "smoothing"];

pub(super) fn run(folder: &Folder, stem: &str, device: &Device, cases: &mut Cases) {
    let index = folder.index();
    let traces = index.get("traces").and_then(|traces| traces.elements());
    match traces {
        Ok(traces) => {
            for (number, trace) in traces.iter().enumerate() {
                let planner = trace.text("planner").unwrap_or("?");
                let name = format!("{stem}.{number} {planner}");
                cases.run(&name, "maze", |checks| {
                    compare(checks, trace, &index.get("layouts")?, device)
                });
            }
        }
        Err(error) => cases.run(stem, "maze", |_| Err(error)),
    }
}

fn method(trace: &Node<'_>) -> Result<(Method, &'static [&'static str]), CaseError> {
    Ok(match trace.text("planner")? {
        "random_shooting" => {
            let candidates = trace.size("num_candidates")?;
            (Method::Shooting { candidates }, OF_SHOOTING)
        }
        "cem" => {
            let method = Method::CrossEntropy {
                iterations: trace.size("num_iterations")?,
                samples: trace.size("num_samples")?,
                elites: trace.size("num_elites")?,
                smoothing: trace.number("smoothing")?,
            };
            (method, OF_CROSS_ENTROPY)
        }
        other => {
            let reason = format!("planner {other}");
            return Err(CaseError::Unsupported(reason));
        }
    })
}

fn compare(
    checks: &mut Checks,
    trace: &Node<'_>,
    layouts: &Node<'_>,
    device: &Device,
) -> Result<(), CaseError> {
    let (method, own) = method(trace)?;
    all_known(checks, trace, &[ENTRIES, own].concat());
    if trace.text("dynamics")? != "oracle" {
        return Err(trace.get("dynamics")?.wrong("oracle"));
    }
    let number = trace.size("layout")?;
    let layouts = layouts.elements()?;
    let Some(rows) = layouts.get(number) else {
        return Err(trace.get("layout")?.wrong("the number of a layout"));
    };
    let maze = layout(rows)?;
    let seed = trace.size("seed")? as u64;
    let expected_calls = trace.get("plan_calls")?;
    let settings = EpisodeSettings {
        episodes: trace.get("episodes")?.elements()?.len(),
        horizon: trace.size("episode_horizon")?,
        planner: TabularSettings {
            method,
            horizon: trace.size("plan_horizon")?,
        },
        draws: DrawSource::Python,
        kept_calls: usize::MAX,
    };
    let mut atlas = Atlas::new(&maze, device, vec![MazeModel::True]).map_err(engine)?;
    let lane = Lane {
        model: 0,
        seed,
        stream: 0,
    };
    let found = Episodes::run(&mut atlas, &[lane], settings).map_err(engine)?;
    let [found] = found.as_slice() else {
        return Err(engine("no episodes"));
    };
    checks.equal(
        "episodes",
        &of_episodes(found),
        &integers(&trace.get("episodes")?)?,
    );
    checks.equal(
        "plan_calls",
        &of_calls(&found.calls),
        &integers(&expected_calls)?,
    );
    let rate = trace.number("success_rate")?;
    checks.close("success_rate", &[found.success_rate()], &[rate], 1e-15);
    if let Some(first) = trace.find("first_call_first_candidates") {
        let plans = first.elements()?;
        let length = settings.planner.horizon.min(settings.horizon);
        let draws = action_sequence(seed, plans.len() * length);
        let mut drawn = vec![plans.len() as i64];
        for plan in draws.chunks(length.max(1)) {
            drawn.push(plan.len() as i64);
            drawn.extend(plan.iter().map(|action| action.index() as i64));
        }
        checks.equal("first_call_first_candidates", &drawn, &integers(&first)?);
    }
    Ok(())
}
