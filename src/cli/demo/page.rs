//! The demo as a web page.

use super::episodes::Episodes;
use super::score::{Score, WALKS, Walked};
use super::terminal::{drawn, outcome, short_name, verdict};
use super::{Contender, Show, sampler_table, score_table, timing};
use anyhow::Result;
use attractor::report::html::{
    Element, card, element, facts, figure, heading, page as whole, paragraph,
};
use attractor::report::plot::{Bars, counted_points, grouped_shares};

/// Pictures of each environment.
const PICTURES: usize = 3;
/// Columns of a map from which its picture takes the whole width.
const WIDE: usize = 34;

/// The whole page.
pub fn page(show: &Show<'_>) -> Result<String> {
    let mut content = Vec::new();
    if let Some(main) = show.contenders.first() {
        content.extend(opening(main, show.reason));
        content.extend(arrivals(main)?);
        content.extend(gallery(show.episodes, main)?);
        content.push(heading("Samplers"));
        content.push(paragraph(
            "The same network and observations, three ways to draw a plan. Greedy commits the most \
             confident actions and stops when all are committed.",
        ));
        content.push(sampler_table(show.contenders).to_html());
        content.push(heading("Speed"));
        content.push(paragraph(&timing::sentence(main)));
        content.push(paragraph(&timing::share_sentence(main, show.roofline)));
        content.extend(reading());
    }
    Ok(whole("attractor demo", content))
}

fn opening(main: &Contender, reason: &str) -> Vec<Element> {
    let (all, timing, run) = (&main.all, &main.timing, &main.run);
    let cards = [
        card(
            &format!("{:.0} %", 100.0 * all.plan.share()),
            "of plans arrive where the staircase is in sight",
        ),
        card(
            &format!("{:.0} %", 100.0 * all.random.share()),
            "of random walks of the same length do",
        ),
        card(
            &format!("{:.0}", timing.plans_per_second()),
            "plans a second",
        ),
        card(
            &format!("{:.0}", timing.gflops_per_second()),
            "GFLOP a second",
        ),
    ];
    let s = &run.sampler;
    let header = facts([
        ("version", run.version.to_string()),
        ("device", reason.to_string()),
        ("weights", format!("{} ({})", run.weights, run.weights_hash)),
        ("seed", run.seed.to_string()),
        (
            "sampler",
            format!(
                "{}, {} steps, {} schedule, strategy {}, eta {}, temperature {}, top-p {}",
                super::name(&s.sampler),
                s.steps,
                s.noise_schedule,
                super::name(&s.strategy),
                s.eta,
                s.temperature,
                s.top_p
            ),
        ),
    ]);
    vec![
        element("h1").text("A trained planner in recorded dungeons"),
        paragraph(&format!(
            "A masked-diffusion planner looked once at the first observation of {} recorded MiniHack episodes and \
             wrote down a plan for each. {}",
            all.plans,
            verdict(main)
        )),
        element("div").attribute("class", "cards").children(cards),
        header,
    ]
}

fn arrivals(main: &Contender) -> Result<Vec<Element>> {
    let counted: Vec<&Score> = main
        .environments
        .iter()
        .filter(|score| score.staircase_seen > 0)
        .collect();
    let names: Vec<String> = counted
        .iter()
        .map(|score| short_name(&score.environment).replace("-Random", ""))
        .collect();
    let bars = |name: &str, share: fn(&Score) -> f64| Bars {
        name: name.into(),
        shares: counted.iter().map(|score| share(score)).collect(),
    };
    let kinds = [
        bars("plan", |score| score.plan.share()),
        bars("random walk", |score| score.random.share()),
    ];
    let shares = grouped_shares("arrivals", &names, &kinds)?;
    let points: Vec<(usize, usize)> = main
        .walked
        .iter()
        .filter(|walked| walked.walk.reached)
        .filter_map(|walked| Some((walked.shortest()?, walked.walk.steps)))
        .collect();
    let steps = counted_points(
        "steps",
        ["moves of the shortest way", "steps of the plan"],
        &points,
    )?;
    Ok(vec![
        heading("How many plans arrive"),
        figure(
            shares,
            "Share of plans, and of random walks of the same length from the same place, that step onto the \
             staircase; maps that show it.",
            "",
        ),
        score_table(main).to_html(),
        heading("How direct the plans are"),
        figure(
            steps,
            "Every plan that arrives: its steps against the shortest way on the recorded map. On the line a plan \
             wastes nothing; larger discs are several plans.",
            "",
        ),
    ])
}

fn gallery(episodes: &Episodes, main: &Contender) -> Result<Vec<Element>> {
    let mut figures = Vec::new();
    for (index, environment) in episodes.environments().iter().enumerate() {
        let of_it =
            |w: &&Walked| episodes.environment_of(w.episode) == index && w.place.stairs.is_some();
        for walked in main.walked.iter().filter(of_it).take(PICTURES) {
            let dungeon = drawn(episodes, walked)?;
            let name = short_name(environment.id);
            let caption = format!("{name}, episode {}: {}.", walked.episode, outcome(walked));
            let wide = if dungeon.columns() >= WIDE {
                "wide"
            } else {
                ""
            };
            figures.push(figure(dungeon.to_svg(&caption), &caption, wide));
        }
    }
    Ok(vec![
        heading("Some of the dungeons"),
        paragraph(
            "The first episodes of each environment whose recorded map shows the staircase. Disc: the agent. \
             Solid line: the plan as walked. Dashed line: a shortest way. Angle: the staircase.",
        ),
        element("div")
            .attribute("class", "gallery")
            .children(figures),
    ])
}

fn reading() -> Vec<Element> {
    vec![
        heading("How to read this"),
        paragraph(&format!(
            "A plan is made once from the first observation and walked to its end without looking again, on the map \
             that this observation shows; what was not yet seen blocks the way. The walk stops on the staircase. \
             Maps that do not show the staircase are counted as plans but not as arrivals or failures. Beside every \
             plan stand {WALKS} random walks over the eight compass moves, of the same length, from the same place, \
             under the same rules. Mean steps are over the walks that arrive."
        )),
        paragraph(
            "Speed is the fastest of the runs, compilation left out. Floating-point operations and bytes are counted \
             from the shapes of the compiled graph. The numbers of this page are in results.json beside it.",
        ),
    ]
}
