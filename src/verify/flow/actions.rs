//! The action transform and the weights of label-distribution smoothing, and how both are fitted to the
//! drives of the benchmark.

use super::super::checks::{CaseError, Checks};
use super::super::folder::Node;
use super::case::{Case, distance, engine, two_numbers};
use crate::models::flow::actions::{ActionTransform, Pedals};
use crate::models::flow::knots::Knots;
use crate::training::label_smoothing::{LabelDistribution, LabelSettings, labels, weights};
use crate::worlds::driving::{CHANNELS, Drive, FRAMES, HORIZON};

/// Relative: both sides compute in f64.
const TOLERANCE: f64 = 1e-12;
/// Relative, of fitted tables that are stored as f32.
const FIT_TOLERANCE: f64 = 1e-6;
/// A drive takes a few milliseconds; more are mistakes or attacks.
const MOST_DRIVES: usize = 4096;

const PEDALS: Pedals = Pedals { gas: 0, brake: 1 };

/// Targets of the drives that the configuration names; none where it names none.
fn targets(config: &Node<'_>) -> Result<Option<Vec<f32>>, CaseError> {
    let Some(drives) = config.find("drives") else {
        return Ok(None);
    };
    let listed = drives.elements()?;
    if listed.is_empty() || listed.len() > MOST_DRIVES {
        return Err(drives.wrong("1 to 4096 numbers of drives"));
    }
    let mut targets = Vec::new();
    for drive in listed {
        let number = u32::try_from(drive.as_size()?).map_err(|_| drive.wrong("32 bits"))?;
        targets.extend(Drive::generate(number, FRAMES).targets);
    }
    Ok(Some(targets))
}

fn pedals(config: &Node<'_>) -> Result<Option<Pedals>, CaseError> {
    let merge = config.find("merge");
    let merge = merge.as_ref().map_or(Ok(false), Node::as_bool)?;
    Ok(merge.then_some(PEDALS))
}

fn channel_names(count: usize) -> Vec<String> {
    (0..count)
        .map(|channel| format!("channel{channel}"))
        .collect()
}

pub(super) fn check_transform(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let pedals = pedals(&case.config)?;
    let [channels, levels] = case.shape::<2>("in.knots")?;
    let (_, grid) = case.rows_f64("in.grid", &[levels])?;
    let (_, stored) = case.rows_f64("in.knots", &[levels])?;
    let raw_channels = channels + usize::from(pedals.is_some());
    let knots = stored.chunks(levels.max(1)).map(<[f64]>::to_vec).collect();
    let knots = Knots::new(grid, knots).map_err(engine)?;
    let keys = channel_names(raw_channels);
    let transform = ActionTransform::new(keys, pedals, Some(knots)).map_err(engine)?;
    if let Some(targets) = targets(&case.config)? {
        let fitted = ActionTransform::fit(channel_names(CHANNELS.len()), pedals, &targets, levels);
        let fitted = fitted.map_err(engine)?;
        let fitted = fitted.knots().map(Knots::channels).unwrap_or_default();
        checks.close_to_scale("fitted knots", &fitted.concat(), &stored, FIT_TOLERANCE);
    }
    if case.arrays.contains("in.raw") {
        let (_, raw) = case.rows_f64("in.raw", &[raw_channels])?;
        let merged = transform.to_physical(&raw).map_err(engine)?;
        let model = transform.to_model(&raw).map_err(engine)?;
        let back = transform.to_raw(&model).map_err(engine)?;
        for (name, found) in [
            ("out.merged", merged),
            ("out.model", model),
            ("out.roundtrip", back),
        ] {
            if case.arrays.contains(name) {
                case.compare(name, &found, TOLERANCE, checks)?;
            }
        }
    }
    if case.arrays.contains("in.z") {
        let (_, z) = case.rows_f64("in.z", &[channels])?;
        let raw = transform.to_raw(&z).map_err(engine)?;
        case.compare("out.raw", &raw, TOLERANCE, checks)?;
    }
    Ok(())
}

pub(super) fn check_label_smoothing(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let [channels, bins] = case.shape::<2>("in.emp")?;
    let tables = [
        ("in.edges", bins + 1),
        ("in.emp", bins),
        ("in.smooth", bins),
    ];
    let mut stored = Vec::new();
    for (name, width) in tables {
        let (rows, values) = case.rows_f64(name, &[width])?;
        if rows != channels {
            return Err(engine(format!(
                "{name}: expected {channels} channels, found {rows}"
            )));
        }
        stored.push(values);
    }
    check_fit(case, channels, &stored, checks)?;
    let row = |table: usize, channel: usize, width: usize| {
        let values = stored.get(table).map(Vec::as_slice).unwrap_or_default();
        values
            .chunks(width.max(1))
            .nth(channel)
            .map_or_else(Vec::new, <[f64]>::to_vec)
    };
    let channel = |c| LabelDistribution::new(row(0, c, bins + 1), row(1, c, bins), row(2, c, bins));
    let distributions: Result<Vec<_>, _> = (0..channels).map(channel).collect();
    let distributions = distributions.map_err(engine)?;
    for (name, text) in case.outputs("table.") {
        check_tables(case, &distributions, (name, text), false, checks)?;
    }
    for (name, text) in case.outputs("weight.") {
        check_tables(case, &distributions, (name, text), true, checks)?;
    }
    Ok(())
}

/// The tables of a fit to the drives that the configuration names are the stored ones.
fn check_fit(
    case: &Case<'_>,
    channels: usize,
    stored: &[Vec<f64>],
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let bins = case.config.size("bins")?;
    let sigma = case.config.number("sigma")?;
    let Some(targets) = targets(&case.config)? else {
        return Ok(());
    };
    let keys = channel_names(CHANNELS.len());
    let transform = ActionTransform::new(keys, pedals(&case.config)?, None).map_err(engine)?;
    checks.equal("channels", &[transform.model_channels()], &[channels]);
    let physical = transform.to_physical(&targets).map_err(engine)?;
    let labels = labels(&physical, HORIZON, transform.model_channels()).map_err(engine)?;
    let settings = LabelSettings { bins, sigma };
    let fitted = settings
        .fit(&labels, transform.model_channels())
        .map_err(engine)?;
    type Part = fn(&LabelDistribution) -> &[f64];
    let parts: [Part; 3] = [
        LabelDistribution::edges,
        LabelDistribution::emp,
        LabelDistribution::smooth,
    ];
    let names = ["fitted edges", "fitted emp", "fitted smooth"];
    for ((what, part), expected) in names.into_iter().zip(parts).zip(stored) {
        let found: Vec<f64> = fitted.iter().flat_map(part).copied().collect();
        checks.close_to_scale(what, &found, expected, FIT_TOLERANCE);
    }
    Ok(())
}

/// The weights by bin, or those of `in.label`, under the alpha and the cap of the name; where that can
/// be read in two ways, the nearer one counts.
fn check_tables(
    case: &Case<'_>,
    distributions: &[LabelDistribution],
    (name, text): (&str, &str),
    of_labels: bool,
    checks: &mut Checks,
) -> Result<(), CaseError> {
    let labels = match of_labels {
        true => case.rows_f64("in.label", &[distributions.len()])?.1,
        false => Vec::new(),
    };
    let computed = |(alpha, cap): (f64, f64)| -> Option<Vec<f64>> {
        let tables = distributions.iter().map(|d| d.weights(alpha, cap));
        let tables: Vec<_> = tables.collect::<Result<_, _>>().ok()?;
        if of_labels {
            return weights(&tables, &labels).ok();
        }
        Some(tables.iter().flat_map(|t| t.table()).copied().collect())
    };
    let readings: Vec<Vec<f64>> = two_numbers(text).into_iter().filter_map(computed).collect();
    if readings.is_empty() {
        return Ok(());
    }
    let (_, expected) = case.expected(name)?;
    let readings = readings.into_iter();
    let nearest = readings.min_by(|a, b| distance(a, &expected).total_cmp(&distance(b, &expected)));
    checks.close_to_scale(name, &nearest.unwrap_or_default(), &expected, TOLERANCE);
    Ok(())
}
