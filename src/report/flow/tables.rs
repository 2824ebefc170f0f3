//! Tables of flow-policy evaluations.

use crate::analysis::flow::{
    Calibration, ChannelTable, Decomposition, Fan, MaskedError, Panel, RankedReadouts, Rollout,
    RouteReport,
};

use crate::report::Table;

/// A table with its title.
pub type TitledTable = (String, Table);

fn titled(title: &str, table: Table) -> TitledTable {
    (title.to_owned(), table)
}

/// An error or a ratio, or a dash for a mean over nothing.
fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{value:.4}"))
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| format!("{:.1} %", 100.0 * value))
}

/// Every table of a panel. `channels` names the raw channels; one without a name goes by its index.
pub fn panel_tables(panel: &Panel, channels: &[&str]) -> Vec<TitledTable> {
    let name = |channel: usize| match channels.get(channel) {
        Some(name) => (*name).to_owned(),
        None => channel.to_string(),
    };
    vec![
        titled("Panel", summary(panel)),
        titled("Steering chunk-L1 by frame", decompositions(panel)),
        titled(
            "L1 over slots, by number of draws (raw actions)",
            slot_level(panel, name),
        ),
        titled("Variance tax, 1 - meanK/single", variance_tax(panel, name)),
        titled("Modes", census(panel)),
        titled("Drives", drives(panel)),
        titled("Maneuvers, first draw", maneuvers(panel, name)),
        titled("First-slot fan", fan(&panel.fan)),
        titled("Slots of the chunk", slots(&panel.fan)),
    ]
}

fn summary(panel: &Panel) -> Table {
    let mut table = Table::new(["measure", "value"]);
    let correlation = &panel.chunk_mean_correlation;
    table.row(["frames judged", &panel.frames.to_string()]);
    table.row(["frames dropped", &panel.dropped.to_string()]);
    table.row(["draws a frame", &panel.draws.to_string()]);
    for (name, value) in [
        ("selection regret, spike frames", panel.selection_regret),
        ("coverage floor, spike frames", panel.coverage_floor),
        ("chunk-mean correlation, one draw", correlation.draw0),
        ("chunk-mean correlation, meanK", correlation.meank),
        ("chunk-mean correlation, mode", correlation.mode),
        ("L1 of one draw, all channels", panel.sample_l1_draw0),
    ] {
        table.row([name, &number(value)]);
    }
    table
}

fn decomposition_cells(numbers: &Decomposition) -> impl Iterator<Item = String> {
    [
        numbers.single,
        numbers.meank,
        numbers.mode,
        numbers.mode_medoid,
        numbers.oracle_mode,
        numbers.best_draw,
        numbers.selection_regret(),
    ]
    .into_iter()
    .map(number)
}

const READOUTS: [&str; 7] = [
    "single",
    "meanK",
    "mode",
    "medoid",
    "oracle mode",
    "best draw",
    "regret",
];

fn decompositions(panel: &Panel) -> Table {
    let mut table = Table::new(["frames"].into_iter().chain(READOUTS));
    for (name, numbers) in [
        ("all", &panel.decomposition_all),
        ("flat", &panel.decomposition_flat),
        ("spike", &panel.decomposition_spike),
        ("bimodal", &panel.decomposition_bimodal),
        ("bimodal spike", &panel.decomposition_bimodal_spike),
    ] {
        table.row(std::iter::once(name.to_owned()).chain(decomposition_cells(numbers)));
    }
    table
}

fn masked(error: &MaskedError) -> [String; 3] {
    [error.all, error.flat, error.spike].map(number)
}

fn slot_level(panel: &Panel, name: impl Fn(usize) -> String) -> Table {
    let mut table = Table::new(["channel", "draws", "overall", "flat", "spike"]);
    for (&channel, numbers) in &panel.slot_level {
        let mut row = |draws: &str, error: &MaskedError| {
            let cells = [name(channel), draws.to_owned()];
            table.row(cells.into_iter().chain(masked(error)));
        };
        for (count, error) in &numbers.mean_of_k {
            row(&count.to_string(), error);
        }
        row("mode", &numbers.mode);
    }
    table
}

fn variance_tax(panel: &Panel, name: impl Fn(usize) -> String) -> Table {
    let mut table = Table::new(["channel", "overall", "flat", "spike"]);
    for (&channel, ChannelTable { variance_tax, .. }) in &panel.slot_level {
        let shares = [variance_tax.all, variance_tax.flat, variance_tax.spike];
        table.row(std::iter::once(name(channel)).chain(shares.map(percent)));
    }
    table
}

fn census(panel: &Panel) -> Table {
    let mut table = Table::new(["subset", "frames", "bimodal", "share", "separation"]);
    let census = &panel.census;
    for (name, numbers) in [
        ("all", &census.all),
        ("flat", &census.flat),
        ("spike", &census.spike),
    ] {
        table.row([
            name.to_owned(),
            numbers.frames.to_string(),
            numbers.bimodal.to_string(),
            percent(numbers.share),
            number(numbers.separation),
        ]);
    }
    table
}

fn drives(panel: &Panel) -> Table {
    let titles = ["drive", "frames", "spikes", "bimodal", "over"];
    let mut table = Table::new(titles.into_iter().chain(READOUTS));
    for drive in &panel.drives {
        let all = [
            drive.drive.to_string(),
            drive.frames.to_string(),
            drive.spike_frames.to_string(),
            percent(drive.bimodal),
            "all".to_owned(),
        ];
        let numbers = decomposition_cells(&drive.decomposition_all);
        table.row(all.into_iter().chain(numbers));
        let spike = [
            drive.drive.to_string(),
            String::new(),
            String::new(),
            percent(drive.bimodal_spike),
            "spike".to_owned(),
        ];
        let numbers = decomposition_cells(&drive.decomposition_spike);
        table.row(spike.into_iter().chain(numbers));
    }
    table
}

fn maneuvers(panel: &Panel, name: impl Fn(usize) -> String) -> Table {
    let mut table = Table::new(["channel", "share of slots", "L1"]);
    for (&channel, maneuver) in &panel.maneuver_l1_draw0 {
        table.row([name(channel), percent(maneuver.frac), number(maneuver.l1)]);
    }
    table
}

fn fan(fan: &Fan) -> Table {
    let mut table = Table::new(["measure", "overall", "near spikes", "elsewhere"]);
    for (distance, hits) in &fan.hit {
        let shares = [hits.all, hits.spike, hits.flat].map(percent);
        table.row(std::iter::once(format!("draws within {distance}")).chain(shares));
    }
    for (name, errors) in [
        ("first-step L1", &fan.first_step_l1),
        ("first-step L1, best draw", &fan.best_of_k),
    ] {
        let errors = [None, errors.spike, errors.flat].map(number);
        table.row(std::iter::once(name.to_owned()).chain(errors));
    }
    table
}

fn slots(fan: &Fan) -> Table {
    let mut table = Table::new(["slot", "L1", "lag"]);
    let slots = fan.per_slot_l1.iter().zip(&fan.lag_profile);
    for (slot, (&error, lag)) in slots.enumerate() {
        let lag = lag.map_or_else(|| "-".to_owned(), |lag| lag.to_string());
        table.row([slot.to_string(), number(error), lag]);
    }
    table
}

/// Draw mass against true probability, beside the frequency in the data.
pub fn calibration_table(calibration: &Calibration) -> Table {
    let mut table = Table::new(["true probability", "marks", "frequency", "share of draws"]);
    for row in &calibration.rows {
        table.row([
            format!("{:.2}", row.probability),
            row.marks.to_string(),
            number(row.frequency),
            number(row.draw_share),
        ]);
    }
    table
}

/// A rollout: errors by depth, and what the substitutions did.
pub fn rollout_tables(rollout: &Rollout) -> Vec<TitledTable> {
    let mut depths = Table::new(["depth", "frames", "closed loop", "open loop", "change"]);
    for group in &rollout.depths {
        depths.row([
            format!("{}-{}", group.from, group.to),
            group.frames.to_string(),
            number(group.closed_loop),
            number(group.open_loop),
            number(group.prediction_change),
        ]);
    }
    let mut log = Table::new(["measure", "value"]);
    for (name, count) in [
        ("chains", rollout.chains),
        ("chains dropped", rollout.dropped_chains),
        ("frames left over", rollout.frames_left_over),
        ("substitutions", rollout.substitutions),
        (
            "substitutions that changed nothing",
            rollout.dead_substitutions,
        ),
    ] {
        log.row([name.to_owned(), count.to_string()]);
    }
    for (name, value) in [
        ("mean size of a substitution", rollout.substitution_size),
        ("mean change of a feature", rollout.feature_change),
        ("mean change of a prediction", rollout.prediction_change),
    ] {
        log.row([name.to_owned(), number(value)]);
    }
    vec![
        titled("Action feedback: first-step steering L1", depths),
        titled("Action feedback: substitutions", log),
    ]
}

/// Steering chunk-L1 of a ranker's readouts, and the rank of its picks.
pub fn ranking_table(ranked: &RankedReadouts) -> Table {
    let mut table = Table::new(["readout", "overall", "flat", "spike"]);
    let mut row = |name: String, errors: &MaskedError| {
        table.row(std::iter::once(name).chain(masked(errors)));
    };
    row("ranker".to_owned(), &ranked.ranker);
    for (count, errors) in &ranked.top {
        row(format!("top {count}"), errors);
    }
    row("mode pick".to_owned(), &ranked.mode_pick);
    row("meanK".to_owned(), &ranked.meank);
    row(
        "median rank of the pick".to_owned(),
        &ranked.median_oracle_rank,
    );
    table
}

/// How well the route picks the mode.
pub fn route_table(route: &RouteReport) -> Table {
    let mut table = Table::new(["measure", "value"]);
    for (name, value) in [
        ("steering at no turn", Some(route.selector.intercept)),
        ("steering per radian of turn", Some(route.selector.slope)),
        ("correlation with chunk-mean steering", route.correlation),
        ("steering chunk-L1, all frames", route.route_mode.all),
        ("steering chunk-L1, flat frames", route.route_mode.flat),
        ("steering chunk-L1, spike frames", route.route_mode.spike),
        (
            "steering chunk-L1, bimodal spike frames",
            route.route_mode_bimodal_spike,
        ),
    ] {
        table.row([name.to_owned(), number(value)]);
    }
    table.row([
        "picks the better mode".to_owned(),
        percent(route.picks_better),
    ]);
    table
}
