//! `attractor ftle field`: exponents over a grid of initial states, as a picture and as numbers.

use crate::cli::exit::{Outcome, Usage};
use crate::cli::output::{check_free, note, pretty, print};
use anyhow::Result;
use attractor::analysis::ftle_field::{FieldRequest, FtleField, Grid, ftle_field};
use attractor::device::Selection;
use attractor::formats::{Array, ArrayMap, npz, write_atomic};
use attractor::models::classical::System;
use attractor::report::heat_map::HeatMap;
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Arguments of `attractor ftle field`.
#[derive(Debug, clap::Args)]
pub struct FieldArguments {
    /// A system of two numbers, such as double_gyre, van_der_pol or standard_map
    #[arg(long, value_name = "NAME", default_value = "double_gyre")]
    system: String,
    /// A parameter of the system, such as epsilon=0.1; may be repeated
    #[arg(long = "parameter", value_name = "NAME=VALUE")]
    parameters: Vec<String>,
    /// Time at the start
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = 0.0,
        allow_negative_numbers = true
    )]
    t0: f64,
    /// Length of time, or iterations of a map; negative goes back in time and shows attracting ridges
    #[arg(
        long,
        value_name = "TIME",
        default_value_t = 15.0,
        allow_negative_numbers = true
    )]
    span: f64,
    /// Size of the integrator's steps [default: the system's usual one]
    #[arg(long, value_name = "TIME")]
    step: Option<f64>,
    /// Points across
    #[arg(long, value_name = "COUNT", default_value_t = 384)]
    nx: usize,
    /// Points up
    #[arg(long, value_name = "COUNT", default_value_t = 192)]
    ny: usize,
    /// Edges of the grid: left,right,lower,upper [default: the system's usual ones]
    #[arg(
        long,
        value_name = "EDGES",
        value_delimiter = ',',
        num_args = 1,
        allow_negative_numbers = true
    )]
    domain: Vec<f64>,
    /// Tangents carried along every trajectory, or differences between neighbours
    #[arg(long, value_enum, default_value_t = Method::Variational)]
    method: Method,
    /// The picture to write (SVG)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The numbers to write: flow map and both exponents (.csv or .npz)
    #[arg(long, value_name = "FILE")]
    values: Option<PathBuf>,
    /// Write over existing files
    #[arg(long)]
    force: bool,
    /// How to print the summary
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Method {
    Variational,
    Differences,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Aligned text
    Table,
    /// One JSON object
    Json,
}

/// What is printed of a field.
#[derive(Debug, Serialize)]
struct Summary<'a> {
    version: &'static str,
    device: String,
    precision: String,
    system: &'static str,
    parameters: Vec<(&'static str, f64)>,
    start: f64,
    span: f64,
    steps: u32,
    step: f64,
    nx: usize,
    ny: usize,
    domain: [f64; 4],
    method: Method,
    /// Least, mean and largest exponent, per unit of time or iteration.
    least: f64,
    mean: f64,
    largest: f64,
    /// Where the largest is.
    largest_at: [f64; 2],
    /// Initial states from which trajectories ran off to infinity.
    invalid: usize,
    out: Option<&'a Path>,
    values: Option<&'a Path>,
}

/// Computes, writes, prints.
pub fn run(arguments: &FieldArguments, selector: &str) -> Result<Outcome> {
    for path in [&arguments.out, &arguments.values].into_iter().flatten() {
        check_free(path, arguments.force)?;
    }
    let as_csv = arguments.values.as_deref().map(is_csv).transpose()?;
    let system = system(arguments)?;
    let request = FieldRequest {
        grid: Grid {
            domain: domain(arguments, &system)?,
            nx: arguments.nx,
            ny: arguments.ny,
        },
        system,
        start: arguments.t0,
        span: arguments.span,
    };
    let Selection { device, reason } = Selection::by_name(selector)?;
    let field = ftle_field(&device, &request)?;
    note(&format!("device: {} ({reason})", device.info().name));
    let exponents = match arguments.method {
        Method::Variational => &field.variational,
        Method::Differences => &field.differences,
    };
    if let Some(path) = &arguments.out {
        write_atomic(path, picture(&request, exponents).as_bytes())?;
    }
    match (&arguments.values, as_csv) {
        (Some(path), Some(true)) => write_atomic(path, table(&field).as_bytes())?,
        (Some(path), _) => npz::save(path, &arrays(path, &field)?)?,
        (None, _) => {}
    }
    let info = device.info();
    let names = (
        info.name.clone(),
        format!("{:?}", device.precision()).to_lowercase(),
    );
    let summary = summary(arguments, &request, &field, exponents, names);
    match arguments.format {
        Format::Json => print(&pretty(&summary)?)?,
        Format::Table => print(&text(&summary))?,
    }
    Ok(Outcome::Good)
}

/// Whether numbers go into a table as text, by the name of the file.
fn is_csv(path: &Path) -> Result<bool> {
    match path.extension().and_then(|end| end.to_str()) {
        Some("csv") => Ok(true),
        Some("npz") => Ok(false),
        _ => {
            let file = path.display();
            Err(Usage(format!(
                "--values {file}: expected a name that ends in .csv or .npz"
            ))
            .into())
        }
    }
}

fn system(arguments: &FieldArguments) -> Result<System> {
    let mut system = System::parse(&arguments.system)?;
    for given in &arguments.parameters {
        let parsed = given.split_once('=');
        let parsed =
            parsed.and_then(|(name, value)| Some((name.trim(), value.trim().parse().ok()?)));
        let (name, value) = parsed.ok_or_else(|| {
            Usage(format!(
                "--parameter: expected NAME=VALUE with a number, found {given:?}"
            ))
        })?;
        system.set(name, value)?;
    }
    if let Some(step) = arguments.step {
        system.set_step(step)?;
    }
    Ok(system)
}

fn domain(arguments: &FieldArguments, system: &System) -> Result<[f64; 4]> {
    if let Ok(domain) = <[f64; 4]>::try_from(arguments.domain.as_slice()) {
        return Ok(domain);
    }
    if !arguments.domain.is_empty() {
        let found = arguments.domain.len();
        let message =
            format!("--domain: expected four numbers (left,right,lower,upper), found {found}");
        return Err(Usage(message).into());
    }
    let message = || {
        Usage(format!(
            "--domain: expected edges for {}, found none",
            system.name()
        ))
    };
    Ok(system.domain().ok_or_else(message)?)
}

fn picture(request: &FieldRequest, exponents: &[f64]) -> String {
    let title = format!(
        "{}: exponents over a time of {} from {}",
        request.system.title(),
        request.span,
        request.start
    );
    let map = HeatMap {
        title: &title,
        axes: ["x", "y"],
        quantity: "finite-time Lyapunov exponent",
        domain: request.grid.domain,
        nx: request.grid.nx,
        ny: request.grid.ny,
        // The walls stretch without end, and hold little of a field.
        above: 0.02,
        values: exponents,
    };
    map.to_svg()
}

/// A line a point; NaN where a trajectory ran off.
fn table(field: &FtleField) -> String {
    let mut text = String::from("x,y,flow_map_x,flow_map_y,variational,differences\n");
    let points = field.grid.points();
    let columns = field.flow_map_x.iter().zip(&field.flow_map_y);
    let exponents = field.variational.iter().zip(&field.differences);
    for ((point, (x, y)), (variational, differences)) in
        points.chunks_exact(2).zip(columns).zip(exponents)
    {
        for start in point {
            // Writing to a string cannot fail.
            let _ = write!(text, "{start},");
        }
        let _ = writeln!(text, "{x},{y},{variational},{differences}");
    }
    text
}

fn arrays(path: &Path, field: &FtleField) -> Result<ArrayMap> {
    let mut map = ArrayMap::new(path);
    let shape = [field.grid.ny, field.grid.nx];
    for (name, values) in [("x", field.grid.xs()), ("y", field.grid.ys())] {
        map.insert(name, Array::new(&[values.len()], values)?)?;
    }
    for (name, values) in [
        ("flowmap_x", &field.flow_map_x),
        ("flowmap_y", &field.flow_map_y),
        ("ftle_variational", &field.variational),
        ("ftle_grid_fd", &field.differences),
    ] {
        map.insert(name, Array::new(&shape, values.clone())?)?;
    }
    Ok(map)
}

fn summary<'a>(
    arguments: &'a FieldArguments,
    request: &FieldRequest,
    field: &FtleField,
    exponents: &[f64],
    (device, precision): (String, String),
) -> Summary<'a> {
    let finite = exponents
        .iter()
        .enumerate()
        .filter(|(_, value)| value.is_finite());
    let (mut least, mut largest, mut place) = (f64::INFINITY, f64::NEG_INFINITY, 0);
    let (mut sum, mut count) = (0.0, 0_usize);
    for (at, value) in finite {
        (sum, count) = (sum + value, count + 1);
        least = least.min(*value);
        if *value > largest {
            (largest, place) = (*value, at);
        }
    }
    let points = request.grid.points();
    let coordinate = |d: usize| points.get(2 * place + d).copied().unwrap_or(f64::NAN);
    let known = |value: f64| if count > 0 { value } else { f64::NAN };
    Summary {
        version: env!("CARGO_PKG_VERSION"),
        device,
        precision,
        system: request.system.name(),
        parameters: request.system.parameters().to_vec(),
        start: request.start,
        span: request.span,
        steps: field.steps,
        step: request.span / f64::from(field.steps),
        nx: request.grid.nx,
        ny: request.grid.ny,
        domain: request.grid.domain,
        method: arguments.method,
        least: known(least),
        mean: sum / count as f64,
        largest: known(largest),
        largest_at: [coordinate(0), coordinate(1)],
        invalid: field.invalid,
        out: arguments.out.as_deref(),
        values: arguments.values.as_deref(),
    }
}

fn text(summary: &Summary<'_>) -> String {
    let parameters = summary.parameters.iter();
    let parameters = parameters.map(|(name, value)| format!("{name} {value}"));
    let mut text = format!(
        "{} ({}), time {} from {} in {} steps of {}, {} x {} points, {:?}\n\
         exponents: least {:.6}, mean {:.6}, largest {:.6} at ({:.4}, {:.4})\n",
        summary.system,
        parameters.collect::<Vec<_>>().join(", "),
        summary.span,
        summary.start,
        summary.steps,
        summary.step,
        summary.nx,
        summary.ny,
        summary.method,
        summary.least,
        summary.mean,
        summary.largest,
        summary.largest_at[0],
        summary.largest_at[1],
    );
    if summary.invalid > 0 {
        let _ = writeln!(text, "{} trajectories ran off to infinity", summary.invalid);
    }
    for file in [summary.out, summary.values].into_iter().flatten() {
        let _ = writeln!(text, "wrote {}", file.display());
    }
    text
}
