//! The demo in a terminal: dungeons with the planned path, and what came of the plans.

use super::Contender;
use super::episodes::Episodes;
use super::score::Walked;
use anyhow::Result;
use attractor::report::dungeon::Dungeon;
use attractor::report::{Ink, Style};

/// The first plan of every environment whose map shows the staircase, or the first at all.
pub fn examples<'a>(
    episodes: &'a Episodes,
    contender: &'a Contender,
) -> impl Iterator<Item = &'a Walked> {
    (0..episodes.environments().len()).filter_map(move |index| {
        let of_it = |w: &&Walked| episodes.environment_of(w.episode) == index;
        let mut all = contender.walked.iter().filter(of_it);
        let first = all.clone().next();
        all.find(|walked| walked.place.stairs.is_some()).or(first)
    })
}

/// A dungeon with what the plan does in it.
pub fn drawn<'a>(episodes: &'a Episodes, walked: &'a Walked) -> Result<Dungeon<'a>> {
    Ok(Dungeon {
        chars: episodes.chars(walked.episode)?,
        stairs: walked.place.stairs,
        path: &walked.walk.path,
        shortest: walked.place.shortest.as_deref().unwrap_or_default(),
    })
}

/// An environment's name without what all of them share.
pub fn short_name(id: &str) -> &str {
    let name = id.strip_prefix("MiniHack-").unwrap_or(id);
    name.strip_suffix("-v0").unwrap_or(name)
}

/// Where a plan led, in words.
pub fn outcome(walked: &Walked) -> String {
    let walk = &walked.walk;
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    let shortest = match walked.shortest() {
        Some(moves) => format!("; shortest way {moves}"),
        None if walked.place.stairs.is_some() => "; no way in sight".into(),
        None => String::new(),
    };
    match (walked.place.stairs, walk.reached) {
        (None, _) => "no staircase in sight".into(),
        (Some(_), true) => format!(
            "the plan arrives in {} step{}{shortest}",
            walk.steps,
            plural(walk.steps)
        ),
        (Some(_), false) => format!("the plan does not arrive{shortest}"),
    }
}

/// One dungeon an environment.
pub fn dungeons(episodes: &Episodes, contender: &Contender, style: Style) -> Result<String> {
    let mut text = String::new();
    for walked in examples(episodes, contender) {
        let id = episodes
            .environments()
            .get(episodes.environment_of(walked.episode))
            .map_or("", |environment| environment.id);
        let ink = if walked.walk.reached || walked.place.stairs.is_none() {
            Ink::Plan
        } else {
            Ink::Bad
        };
        text.push_str(&format!(
            "{}, episode {}: {}\n{}\n",
            style.paint(Ink::Strong, short_name(id)),
            walked.episode,
            style.paint(ink, &outcome(walked)),
            drawn(episodes, walked)?.to_text(style)
        ));
    }
    Ok(text)
}

/// What came of the plans, in words.
pub fn verdict(contender: &Contender) -> String {
    let all = &contender.all;
    format!(
        "{} of {} recorded maps show the staircase. Walked on those maps, {} of {} plans arrive ({:.0} %), \
         and {:.0} % of random walks of the same length.\n",
        all.staircase_seen,
        all.plans,
        all.plan.reached,
        all.plan.walks,
        100.0 * all.plan.share(),
        100.0 * all.random.share()
    )
}
