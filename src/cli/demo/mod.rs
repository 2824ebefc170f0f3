//! `attractor demo`: a trained planner on recorded dungeons, from nothing but this program.

mod episodes;
mod page;
mod score;
mod terminal;
mod timing;

use super::exit::{Outcome, Usage};
use super::model::shipped;
use super::output::{note, pretty, print};
use super::record::{RunRecord, name};
use super::sampling::from_configuration;
use anyhow::{Context, Result};
use attractor::bench::Roofline;
use attractor::device::Selection;
use attractor::formats::write_atomic;
use attractor::report::{Style, Table};
use attractor::samplers::{PlanRequest, Planner, SamplerKind};
use episodes::Episodes;
use score::{Score, Walked};
use serde::Serialize;
use std::path::PathBuf;
use timing::Timing;

/// Arguments of `attractor demo`.
#[derive(Debug, clap::Args)]
pub struct DemoArguments {
    /// Folder for the report
    #[arg(long, value_name = "DIR", default_value = "report")]
    out: PathBuf,
    /// Seed of all random numbers
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    seed: u64,
    /// Plans to make, spread evenly over the recorded observations [default: one for each]
    #[arg(long, value_name = "COUNT")]
    plans: Option<usize>,
}

/// What one sampler achieved.
#[derive(Debug, Serialize)]
struct Contender {
    run: RunRecord,
    timing: Timing,
    environments: Vec<Score>,
    all: Score,
    #[serde(skip)]
    walked: Vec<Walked>,
}

/// Most plans that one run of the demo makes.
const MOST_PLANS: usize = 100_000;

/// Plans with every sampler, walks the plans, reports.
pub fn run(arguments: &DemoArguments, selector: &str) -> Result<Outcome> {
    let configuration = shipped::configuration()?;
    let config = configuration.denoiser.clone();
    let episodes = Episodes::read(&shipped::observations()?, &config)?;
    let planned = spread(arguments.plans.unwrap_or(episodes.len()), episodes.len())?;
    let observations = episodes.observations(&config, &planned)?;
    // Before the work, so that a folder that cannot be made costs nobody the wait.
    std::fs::create_dir_all(&arguments.out)
        .with_context(|| format!("{}: cannot make the folder", arguments.out.display()))?;
    let weights = shipped::weights()?;
    let file = weights.file().display().to_string();
    let Selection { device, reason } = Selection::by_name(selector)?;
    let mut planner = Planner::new(config, &weights, &device)?;
    let hash = planner.weights_hash().to_string();

    let mut contenders = Vec::new();
    for kind in [
        SamplerKind::RemdmBernoulli,
        SamplerKind::Greedy,
        SamplerKind::MaskgitRemask,
    ] {
        let settings = from_configuration(kind, &configuration)?;
        let run = RunRecord::new(&device, arguments.seed, (&file, &hash), &settings);
        if contenders.is_empty() {
            print(&run.header(&reason))?;
            let bytes = planner.peak_bytes(&settings, planned.len())?;
            print(&format!(
                "memory   {bytes} bytes of working memory needed\n\n"
            ))?;
        }
        note(&format!(
            "planning for {} observations with {}",
            planned.len(),
            name(&kind)
        ));
        let request = PlanRequest::new(&observations, arguments.seed);
        let (plans, timing) = timing::timed(&mut planner, &settings, &request)?;
        let walked = score::walk_all(
            &episodes,
            &planned,
            &plans.tokens,
            plans.length,
            arguments.seed,
        )?;
        let (environments, all) = score::scores(&episodes, &walked);
        contenders.push(Contender {
            run,
            timing,
            environments,
            all,
            walked,
        });
    }
    note("measuring what the device can do at most");
    let roofline = timing::ceilings(&device)?;
    let show = Show {
        episodes: &episodes,
        reason: &reason,
        contenders: &contenders,
        roofline: &roofline,
    };
    report(arguments, &show)
}

/// Episodes to plan for: evenly spread if there are fewer than all, round and round if there are more.
fn spread(plans: usize, episodes: usize) -> Result<Vec<usize>> {
    if plans == 0 || plans > MOST_PLANS {
        let expected = format!("--plans is {plans}, expected 1..={MOST_PLANS}");
        return Err(Usage(expected).into());
    }
    let pick = |plan: usize| {
        if plans < episodes {
            plan * episodes / plans
        } else {
            plan % episodes.max(1)
        }
    };
    Ok((0..plans).map(pick).collect())
}

/// Everything that there is to show.
#[derive(Debug, Serialize)]
struct Show<'a> {
    #[serde(skip)]
    episodes: &'a Episodes,
    /// Device, and why it was chosen.
    reason: &'a str,
    roofline: &'a Roofline,
    #[serde(rename = "samplers")]
    contenders: &'a [Contender],
}

fn report(arguments: &DemoArguments, show: &Show<'_>) -> Result<Outcome> {
    let [main, ..] = show.contenders else {
        return Ok(Outcome::Good);
    };
    print(&terminal::dungeons(
        show.episodes,
        main,
        Style::of_stdout(),
    )?)?;
    print(&terminal::verdict(main))?;
    print(&format!("\n{}", score_table(main).to_text()))?;
    print(&format!("\n{}", sampler_table(show.contenders).to_text()))?;
    print(&format!(
        "\n{}{}",
        timing::sentence(main),
        timing::share_sentence(main, show.roofline)
    ))?;

    let page = arguments.out.join("index.html");
    write_atomic(&page, page::page(show)?.as_bytes())?;
    let numbers = arguments.out.join("results.json");
    write_atomic(&numbers, pretty(show)?.as_bytes())?;
    print(&format!(
        "\nreport   {}\nnumbers  {}\n",
        page.display(),
        numbers.display()
    ))?;
    if show.contenders.iter().all(|c| c.timing.repeatable) {
        Ok(Outcome::Good)
    } else {
        note("a second run with the same seed gave other plans");
        Ok(Outcome::CheckFailed)
    }
}

/// What the first sampler's plans achieve in each environment.
fn score_table(contender: &Contender) -> Table {
    let mut table = Table::new([
        "environment",
        "plans",
        "staircase in sight",
        "way in sight",
        "plan arrives",
        "mean steps",
        "shortest",
        "random walk arrives",
        "mean steps",
    ]);
    for score in contender.environments.iter().chain([&contender.all]) {
        if score.plans == 0 {
            continue;
        }
        let share = |tally: &score::Tally| match tally.walks {
            0 => "-".to_string(),
            _ => format!("{:.0} %", 100.0 * tally.share()),
        };
        table.row([
            terminal::short_name(&score.environment).to_string(),
            score.plans.to_string(),
            score.staircase_seen.to_string(),
            score.way_seen.to_string(),
            match score.plan.walks {
                0 => "-".into(),
                _ => format!("{} ({})", score.plan.reached, share(&score.plan)),
            },
            decimal(score.plan.mean_steps()),
            decimal(score.mean_shortest()),
            share(&score.random),
            decimal(score.random.mean_steps()),
        ]);
    }
    table
}

/// All samplers side by side.
fn sampler_table(contenders: &[Contender]) -> Table {
    let mut table = Table::new([
        "sampler",
        "steps carried out",
        "plan arrives",
        "mean steps",
        "plans/s",
        "GFLOP/s",
        "seconds",
    ]);
    for contender in contenders {
        let (all, timing) = (&contender.all, &contender.timing);
        table.row([
            name(&contender.run.sampler.sampler),
            timing.steps.to_string(),
            format!(
                "{} of {} ({:.0} %)",
                all.plan.reached,
                all.plan.walks,
                100.0 * all.plan.share()
            ),
            decimal(all.plan.mean_steps()),
            format!("{:.1}", timing.plans_per_second()),
            format!("{:.1}", timing.gflops_per_second()),
            format!("{:.2}", timing.seconds),
        ]);
    }
    table
}

fn decimal(value: Option<f64>) -> String {
    value.map_or_else(|| "-".into(), |value| format!("{value:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_spread_over_the_episodes() {
        assert_eq!(spread(3, 6).unwrap(), [0, 2, 4]);
        assert_eq!(spread(2, 2).unwrap(), [0, 1]);
        assert_eq!(spread(5, 2).unwrap(), [0, 1, 0, 1, 0]);
        assert!(spread(0, 2).is_err());
    }
}
