//! Plans as a table, JSON, CSV, Markdown or an npz file, and how long they took.

use super::episodes::Episode;
use super::{MpcArguments, MpcSettings, Results};
use crate::cli::output::{pretty, print};
use crate::cli::record::RunRecord;
use anyhow::Result;
use attractor::formats::{Array, ArrayData, ArrayMap, npz};
use attractor::report::Table;
use attractor::samplers::mppi::MppiReport;
use serde::Serialize;
use std::path::Path;

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Aligned text
    Table,
    /// One JSON object
    Json,
    /// Comma-separated values, one line an environment
    Csv,
    /// A Markdown table
    Md,
}

/// One environment's plan as JSON.
#[derive(Debug, Serialize)]
struct PlanRecord<'a> {
    environment: usize,
    action: &'a [f64],
    value: f64,
    best: f64,
    candidate: u32,
    mean: &'a [f64],
    #[serde(flatten)]
    episode: Option<Episode>,
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    run: &'a RunRecord<MpcSettings>,
    report: &'a MppiReport,
    latency: Option<Latency>,
    seconds: &'a [f64],
    plans: Vec<PlanRecord<'a>>,
}

/// How long calls took, in seconds.
#[derive(Debug, Clone, Serialize)]
struct Latency {
    calls: usize,
    least: f64,
    median: f64,
    p90: f64,
    p99: f64,
    most: f64,
    /// Edges of the histogram's bins, one more than there are.
    edges: Vec<f64>,
    counts: Vec<usize>,
}

/// Bins of the histogram.
const BINS: usize = 10;
/// Characters of its longest bar.
const BAR: usize = 40;

impl Latency {
    fn of(seconds: &[f64]) -> Option<Self> {
        let mut sorted = seconds.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (&least, &most) = (sorted.first()?, sorted.last()?);
        // The nearest rank.
        let rank = |share: f64| {
            let rank = (share * sorted.len() as f64).ceil() as usize;
            sorted.get(rank.max(1) - 1).copied().unwrap_or(most)
        };
        let width = (most - least) / BINS as f64;
        let mut counts = vec![0; BINS];
        for value in &sorted {
            let bin = if width > 0.0 {
                ((value - least) / width) as usize
            } else {
                0
            };
            if let Some(count) = counts.get_mut(bin.min(BINS - 1)) {
                *count += 1;
            }
        }
        Some(Self {
            calls: sorted.len(),
            least,
            median: rank(0.5),
            p90: rank(0.9),
            p99: rank(0.99),
            most,
            edges: (0..=BINS).map(|bin| least + bin as f64 * width).collect(),
            counts,
        })
    }

    fn text(&self) -> String {
        let ms = |seconds: f64| format!("{:.3}", 1e3 * seconds);
        let mut text = format!(
            "latency of {} calls, ms: least {}, median {}, p90 {}, p99 {}, most {}\n",
            self.calls,
            ms(self.least),
            ms(self.median),
            ms(self.p90),
            ms(self.p99),
            ms(self.most)
        );
        if self.calls < 2 {
            return text;
        }
        let tallest = self.counts.iter().copied().max().unwrap_or(1).max(1);
        for (edges, count) in self.edges.windows(2).zip(&self.counts) {
            let &[from, to] = edges else { continue };
            let bar = "#".repeat((count * BAR).div_ceil(tallest));
            text += &format!("{:>10} to {:>10} ms {count:>6} {bar}\n", ms(from), ms(to));
        }
        text
    }
}

impl Results {
    fn records(&self) -> impl Iterator<Item = PlanRecord<'_>> {
        let [horizon, action] = self.shape;
        let plans = &self.plans;
        (0..plans.count).map(move |environment| {
            let row = |values: &'_ [f64], width: usize| {
                environment * width..((environment + 1) * width).min(values.len())
            };
            let own = |values| row(values, action);
            let number = |values: &[f64]| values.get(environment).copied().unwrap_or(f64::NAN);
            PlanRecord {
                environment,
                action: plans.actions.get(own(&plans.actions)).unwrap_or_default(),
                value: number(&plans.values),
                best: number(&plans.best),
                candidate: plans.chosen.get(environment).copied().unwrap_or(0),
                mean: plans
                    .means
                    .get(row(&plans.means, horizon * action))
                    .unwrap_or_default(),
                episode: self
                    .episodes
                    .as_ref()
                    .and_then(|episodes| episodes.get(environment).copied()),
            }
        })
    }
}

/// Writes the file that is asked for, and prints what is asked for.
pub fn write(
    arguments: &MpcArguments,
    run: &RunRecord<MpcSettings>,
    results: &Results,
) -> Result<()> {
    if let Some(path) = &arguments.out {
        npz::save(path, &arrays(path, run, results)?)?;
    }
    let format = match (arguments.format, &arguments.out) {
        (Some(format), _) => format,
        (None, None) => Format::Table,
        (None, Some(_)) => return Ok(()),
    };
    let latency = Latency::of(&results.seconds);
    print(&match format {
        Format::Table => {
            let latency = latency.map_or(String::new(), |latency| latency.text());
            format!("{}{latency}", table(results).to_text())
        }
        Format::Md => table(results).to_markdown(),
        Format::Csv => csv(results),
        Format::Json => pretty(&Document {
            run,
            report: &results.plans.report,
            latency,
            seconds: &results.seconds,
            plans: results.records().collect(),
        })?,
    })?;
    Ok(())
}

/// `actions` f32 [N, A]; `means` and `deviations` f32 [N, H, A]; `values`, of the chosen candidates, and `best`
/// f32 [N]; `candidates` i64 [N]; of episodes `returns` f64 [N] and `solved` bool [N]; `seconds` f64, one a call; `run`, the record of the run as JSON text.
fn arrays(path: &Path, run: &RunRecord<MpcSettings>, results: &Results) -> Result<ArrayMap> {
    let plans = &results.plans;
    let ([horizon, action], count) = (results.shape, plans.count);
    let mut map = ArrayMap::new(path);
    let mut put = |name: &str, shape: &[usize], data: ArrayData| -> Result<()> {
        Ok(map.insert(name, Array::new(shape, data)?)?)
    };
    let single = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<f32>>();
    put("actions", &[count, action], single(&plans.actions).into())?;
    let plan = [count, horizon, action];
    put("means", &plan, single(&plans.means).into())?;
    put("deviations", &plan, single(&plans.deviations).into())?;
    put("values", &[count], single(&plans.values).into())?;
    put("best", &[count], single(&plans.best).into())?;
    let chosen: Vec<i64> = plans.chosen.iter().copied().map(i64::from).collect();
    put("candidates", &[count], chosen.into())?;
    if let Some(episodes) = &results.episodes {
        let sums: Vec<f64> = episodes.iter().map(|episode| episode.sum).collect();
        put("returns", &[count], sums.into())?;
        let solved: Vec<bool> = episodes.iter().map(|episode| episode.solved).collect();
        put("solved", &[count], solved.into())?;
    }
    let seconds = results.seconds.clone();
    put("seconds", &[seconds.len()], seconds.into())?;
    put("run", &[], vec![serde_json::to_string(run)?].into())?;
    Ok(map)
}

/// Titles, and one row an environment.
fn rows(results: &Results, number: impl Fn(f64) -> String) -> (Vec<String>, Vec<Vec<String>>) {
    let mut titles = vec!["environment".to_string()];
    titles.extend((0..results.shape[1]).map(|i| format!("action_{i}")));
    titles.extend(["value", "best", "candidate"].map(String::from));
    if results.episodes.is_some() {
        titles.extend(["return", "last_reward", "solved"].map(String::from));
    }
    let rows = results.records().map(|record| {
        let mut cells = vec![record.environment.to_string()];
        cells.extend(record.action.iter().map(|value| number(*value)));
        cells.extend([number(record.value), number(record.best)]);
        cells.push(record.candidate.to_string());
        if let Some(episode) = record.episode {
            cells.extend([number(episode.sum), number(episode.last_reward)]);
            cells.push(u8::from(episode.solved).to_string());
        }
        cells
    });
    (titles, rows.collect())
}

fn table(results: &Results) -> Table {
    let (titles, rows) = rows(results, |value| format!("{value:.6}"));
    let mut table = Table::new(titles);
    for row in rows {
        table.row(row);
    }
    table
}

fn csv(results: &Results) -> String {
    let (titles, rows) = rows(results, |value| value.to_string());
    let mut text = titles.join(",") + "\n";
    for row in rows {
        text.push_str(&row.join(","));
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::Latency;

    #[test]
    fn latencies_are_ranked_and_counted() {
        let seconds: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let latency = Latency::of(&seconds).unwrap();
        assert_eq!((latency.least, latency.most), (1.0, 100.0));
        assert_eq!(
            (latency.median, latency.p90, latency.p99),
            (50.0, 90.0, 99.0)
        );
        assert_eq!(latency.counts.iter().sum::<usize>(), 100);
        assert_eq!(latency.counts, [10; 10]);
        assert!(latency.text().contains("p99 99000.000"));
        let one = Latency::of(&[0.5]).unwrap();
        assert_eq!(one.counts.iter().sum::<usize>(), 1);
        assert!(Latency::of(&[]).is_none());
    }
}
