//! `attractor analyze two-by-two`.

use super::date::today;
use crate::cli::exit::{Outcome, Usage};
use crate::cli::output::{note, print};
use anyhow::{Context, Result};
use attractor::analysis::two_by_two::{
    Analysis, Bootstrap, Diagnostics, EvolutionRow, Intervals, OtsuRule, PUBLISHED_TAGS, evolution,
    evolution_csv, intervals_markdown, published_steps, results_markdown, series_file,
    series_files, sweep, sweep_csv, tag_of,
};
use attractor::formats::{Limits, read_file, write_atomic};
use attractor::report::Table;
use attractor::report::figures::Figure;
use attractor::report::two_by_two::{
    cell_figure, drift_figure, evolution_figure, scatter_figure, spectrum_figure,
};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Arguments of `analyze two-by-two`.
#[derive(Debug, clap::Args)]
pub struct TwoByTwoArguments {
    /// Diagnostics (npz): FILE, TAG=FILE, or a folder of files under their published names
    /// [default: the parent folder of --out, with its series]
    #[arg(value_name = "INPUT")]
    inputs: Vec<String>,
    /// Folder for the results
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Series over checkpoints, such as hrm=DIR; repeatable
    #[arg(long, value_name = "NAME=DIR")]
    evolution: Vec<String>,
    /// Where the threshold between the modes of late drift is put
    #[arg(long, value_enum, default_value_t = Otsu::BinCentre)]
    otsu: Otsu,
    /// Write null instead of the bare token NaN
    #[arg(long)]
    strict_json: bool,
    /// Seed of the bootstrap
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Resamples of the bootstrap; 0 for no intervals
    #[arg(long, value_name = "COUNT", default_value_t = 2_000)]
    resamples: u32,
    /// Write numbers and tables only
    #[arg(long)]
    no_figures: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Otsu {
    /// At the centre of the last occupied bin of the low mode, as published
    BinCentre,
    /// Half-way between the modes
    MidGap,
}

impl From<Otsu> for OtsuRule {
    fn from(otsu: Otsu) -> Self {
        match otsu {
            Otsu::BinCentre => Self::BinCentre,
            Otsu::MidGap => Self::MidGap,
        }
    }
}

/// Most resamples of one interval.
const MOST_RESAMPLES: u32 = 1_000_000;

/// A file to analyse and what its results are called.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Input {
    tag: String,
    file: PathBuf,
}

/// A series: its name, and its files by training step.
type Series = (String, Vec<(u64, PathBuf)>);

/// Analyses everything, then writes everything.
pub fn run(arguments: &TwoByTwoArguments) -> Result<Outcome> {
    if arguments.resamples > MOST_RESAMPLES {
        let found = arguments.resamples;
        let message = format!("--resamples: expected at most {MOST_RESAMPLES}, found {found}");
        return Err(Usage(message).into());
    }
    let (inputs, series) = gather(arguments)?;
    let rule = arguments.otsu.into();
    let bootstrap = Bootstrap {
        seed: arguments.seed,
        resamples: arguments.resamples,
        ..Bootstrap::default()
    };
    let mut files = Files::default();
    let (mut analyses, mut intervals) = (Vec::new(), Vec::new());
    for Input { tag, file } in &inputs {
        let npz = file.to_string_lossy();
        let diagnostics = Diagnostics::read(file)?;
        let analysis = Analysis::of(&diagnostics, &npz, rule)?;
        files.analysis(tag, &analysis, arguments);
        if bootstrap.resamples > 0 {
            let found = Intervals::of(&diagnostics, &analysis, bootstrap);
            let text = found.to_json(&npz, arguments.strict_json);
            files.text(format!("intervals_{tag}.json"), text);
            intervals.push((tag.clone(), found));
        }
        analyses.push((tag.clone(), analysis));
    }
    for (name, checkpoints) in &series {
        let rows = evolution(checkpoints, rule)?;
        files.evolution(name, &rows, arguments);
    }
    if !analyses.is_empty() {
        files.text("results.md".into(), results_markdown(&analyses, &today()));
    }
    if !intervals.is_empty() {
        files.text("intervals.md".into(), intervals_markdown(&intervals));
    }
    files.write(&arguments.out)?;
    print(&summary(&analyses))?;
    Ok(Outcome::Good)
}

/// Files still to be written.
#[derive(Debug, Default)]
struct Files {
    texts: Vec<(String, String)>,
    figures: Vec<(String, Figure)>,
}

impl Files {
    fn text(&mut self, name: String, text: String) {
        self.texts.push((name, text));
    }

    fn analysis(&mut self, tag: &str, analysis: &Analysis, arguments: &TwoByTwoArguments) {
        let json = analysis.to_json(arguments.strict_json);
        self.text(format!("results_{tag}.json"), json);
        self.text(format!("cells_{tag}.csv"), analysis.cells_csv());
        self.text(format!("sweep_{tag}.csv"), sweep_csv(&sweep(analysis)));
        if !arguments.no_figures {
            self.figures.extend([
                (format!("fig_{tag}_drift_hist"), drift_figure(tag, analysis)),
                (
                    format!("fig_{tag}_lyap_by_cell"),
                    cell_figure(tag, analysis),
                ),
                (format!("fig_{tag}_scatter"), scatter_figure(tag, analysis)),
                (
                    format!("fig_{tag}_spectrum"),
                    spectrum_figure(tag, analysis),
                ),
            ]);
        }
    }

    fn evolution(&mut self, name: &str, rows: &[EvolutionRow], arguments: &TwoByTwoArguments) {
        if rows.is_empty() {
            note(&format!(
                "evolution {name}: no file of the series, nothing to write"
            ));
            return;
        }
        self.text(format!("evolution_{name}.csv"), evolution_csv(rows));
        if !arguments.no_figures {
            let figure = evolution_figure(name, rows);
            self.figures.push((format!("evolution_{name}"), figure));
        }
    }

    fn write(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("{}: cannot make the folder", folder.display()))?;
        for (name, text) in &self.texts {
            write_atomic(folder.join(name), text.as_bytes())?;
        }
        for (stem, figure) in &self.figures {
            figure.save(folder, stem)?;
        }
        let count = self.texts.len() + 2 * self.figures.len();
        note(&format!("wrote    {count} files to {}", folder.display()));
        Ok(())
    }
}

/// One line a tag.
fn summary(analyses: &[(String, Analysis)]) -> String {
    let columns = ["tag", "n", "tau", "A", "B", "C", "D", "AUC lam1"];
    let mut table = Table::new(columns);
    for (tag, analysis) in analyses {
        let [a, b, c, d] = analysis
            .cells
            .each_ref()
            .map(|cell| cell.members.len().to_string());
        table.row([
            tag.clone(),
            analysis.examples().to_string(),
            format!("{:.3}", analysis.tau),
            a,
            b,
            c,
            d,
            format!("{:.3}", analysis.areas.neg_lam1_predicts_correct_overall),
        ]);
    }
    table.to_text()
}

/// Everything that the arguments name.
fn gather(arguments: &TwoByTwoArguments) -> Result<(Vec<Input>, Vec<Series>)> {
    let mut inputs = Vec::new();
    let mut series = Vec::new();
    if arguments.inputs.is_empty() && arguments.evolution.is_empty() {
        let parent = parent_of(&arguments.out);
        inputs = of_folder(&parent)?;
        let names = ["hrm", "trm"].map(|name| (name.to_owned(), checkpoints(&parent, name)));
        let present = |(_, files): &Series| files.iter().any(|(_, path)| path.exists());
        series.extend(names.into_iter().filter(present));
        if inputs.is_empty() && series.is_empty() {
            let message = format!(
                "{}: expected diagnostics under their published names (such as {}), found none",
                parent.display(),
                PUBLISHED_TAGS[0].1
            );
            return Err(Usage(message).into());
        }
    }
    for text in &arguments.inputs {
        inputs.extend(of_argument(text)?);
    }
    for text in &arguments.evolution {
        let Some((name, folder)) = text.split_once('=') else {
            let message = format!("--evolution: expected NAME=DIR, found \"{text}\"");
            return Err(Usage(message).into());
        };
        let folder = Path::new(folder);
        if !folder.is_dir() {
            let message = format!("--evolution {name}: {}: no such folder", folder.display());
            return Err(Usage(message).into());
        }
        series.push((name.to_owned(), checkpoints(folder, name)));
    }
    check_names("tag", inputs.iter().map(|input| input.tag.as_str()))?;
    check_names("series", series.iter().map(|(name, _)| name.as_str()))?;
    Ok((inputs, series))
}

/// The folder that holds a folder, which need not exist yet.
fn parent_of(folder: &Path) -> PathBuf {
    let parent = folder
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    match (parent, folder.file_name()) {
        (Some(parent), Some(_)) => parent.to_path_buf(),
        (None, Some(_)) => PathBuf::from("."),
        // A path that ends in dots.
        _ => folder.join(".."),
    }
}

/// One argument: a file, a file under a tag, or a folder.
fn of_argument(text: &str) -> Result<Vec<Input>> {
    let path = Path::new(text);
    if path.is_dir() {
        let found = of_folder(path)?;
        if found.is_empty() {
            let message = format!(
                "{text}: expected a manifest.json or diagnostics under their published names, found none"
            );
            return Err(Usage(message).into());
        }
        return Ok(found);
    }
    // A file may have an equals sign in its name.
    let named = text.split_once('=').filter(|_| !path.exists());
    let (tag, file) = match named {
        Some((tag, file)) => (tag.to_owned(), PathBuf::from(file)),
        None => (tag_of_file(path)?, path.to_path_buf()),
    };
    Ok(vec![Input { tag, file }])
}

/// The tag that a manifest beside or above the file gives it, else that of its name.
fn tag_of_file(file: &Path) -> Result<String> {
    let name = file.file_name().unwrap_or_default();
    let folder = parent_of(file);
    for folder in [folder.clone(), folder.join("..")] {
        let tags = manifest_tags(&folder)?;
        let known = tags
            .into_iter()
            .find(|(_, known)| Path::new(known) == Path::new(name));
        if let Some((tag, _)) = known {
            return Ok(tag);
        }
    }
    Ok(tag_of(file))
}

/// Tags and file names of `manifest.json` of a folder; none where there is no such file.
fn manifest_tags(folder: &Path) -> Result<BTreeMap<String, String>> {
    #[derive(serde::Deserialize)]
    struct Manifest {
        #[serde(default)]
        tags: BTreeMap<String, String>,
    }
    let path = folder.join("manifest.json");
    if !path.is_file() {
        return Ok(BTreeMap::new());
    }
    let limits = Limits {
        file_bytes: 16 << 20,
        ..Limits::default()
    };
    let bytes = read_file(&path, &limits)?;
    // Programs of other kinds call their files so too; theirs say nothing about tags.
    Ok(serde_json::from_slice::<Manifest>(&bytes)
        .map_or_else(|_| BTreeMap::new(), |found| found.tags))
}

/// The files of a folder (or of its `npz` folder) that its manifest or the published table names; those
/// missing are left out.
fn of_folder(folder: &Path) -> Result<Vec<Input>> {
    let published = PUBLISHED_TAGS.map(|(tag, file)| (tag.to_owned(), file.to_owned()));
    let others = manifest_tags(folder)?;
    let is_new = |(tag, _): &(String, String)| published.iter().all(|(known, _)| known != tag);
    let others: Vec<_> = others.into_iter().filter(is_new).collect();
    let all = published.into_iter().chain(others);
    let found = all.filter_map(|(tag, name)| {
        let places = [folder.join(&name), folder.join("npz").join(&name)];
        let file = places.into_iter().find(|path| path.is_file())?;
        Some(Input { tag, file })
    });
    Ok(found.collect())
}

/// The files of a series: those of the published steps if there is one of them, else all that fit.
fn checkpoints(folder: &Path, name: &str) -> Vec<(u64, PathBuf)> {
    let steps = published_steps(name).into_iter();
    let published = steps.filter_map(|step| Some((step, series_file(folder, name, step)?)));
    let published: Vec<_> = published.filter(|(_, path)| path.exists()).collect();
    if published.is_empty() {
        series_files(folder, name)
    } else {
        published
    }
}

/// Names become parts of file names, and no two may be the same.
fn check_names<'a>(what: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = std::collections::BTreeSet::new();
    for name in names {
        let fits = |letter: char| letter.is_alphanumeric() || "._-+".contains(letter);
        if name.is_empty() || name.len() > 200 || !name.chars().all(fits) {
            let message = format!("{what}: expected letters, digits, . _ - and +, found {name:?}");
            return Err(Usage(message).into());
        }
        if !seen.insert(name) {
            return Err(Usage(format!("{what} {name}: expected once, found twice")).into());
        }
    }
    Ok(())
}
