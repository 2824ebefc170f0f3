//! `attractor mpc`: plans actions for observations with a TD-MPC2 world model.

mod episodes;
mod output;

use super::exit::{Outcome, Usage};
use super::model::load_weights;
use super::output::{check_free, note, print};
use super::record::RunRecord;
use anyhow::Result;
use attractor::device::Selection;
use attractor::formats::{ArrayMap, load_arrays};
use attractor::models::tdmpc2::{Tdmpc2, Tdmpc2Config};
use attractor::samplers::mppi::{Mppi, MppiPlans, MppiRequest, MppiSettings};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Arguments of `attractor mpc`.
#[derive(Debug, clap::Args)]
pub struct MpcArguments {
    /// Weights of a TD-MPC2 model: a PyTorch checkpoint, safetensors or npz
    #[arg(long, value_name = "FILE")]
    weights: PathBuf,
    /// Which state dictionary of a PyTorch checkpoint
    #[arg(long, value_name = "KEY")]
    weights_key: Option<String>,
    /// Configuration [default: the JSON beside the weights]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Task, from 0, of a model of several
    #[arg(long, value_name = "NUMBER")]
    task: Option<usize>,
    /// Observations: an npz or safetensors file with obs [N, obs_dim], and prev_mean [N, H, A] where a plan
    /// goes on from the one before
    #[arg(long, value_name = "FILE", required_unless_present = "env")]
    obs: Option<PathBuf>,
    /// Carry the plans out in a control task: dmc_cartpole, dmc_reacher or dmc_acrobot
    #[arg(long, value_name = "TASK", conflicts_with = "obs")]
    env: Option<String>,
    /// Plan for so many environments: the observations over and over, or so many episodes of the task
    /// [default: one an observation, one episode]
    #[arg(long, value_name = "COUNT")]
    environments: Option<usize>,
    /// Planning calls, each from the means of the one before; steps of an episode with --env
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    steps: usize,
    /// Seed of all draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Take the chosen actions without a disturbance
    #[arg(long)]
    eval: bool,
    /// Candidates of a round [default: num_samples of the configuration]
    #[arg(long, value_name = "COUNT")]
    samples: Option<usize>,
    /// Best candidates that a round keeps [default: num_elites]
    #[arg(long, value_name = "COUNT")]
    elites: Option<usize>,
    /// Candidates that the policy proposes [default: num_pi_trajs]
    #[arg(long, value_name = "COUNT")]
    policies: Option<usize>,
    /// Rounds [default: iterations]
    #[arg(long, value_name = "COUNT")]
    iterations: Option<usize>,
    /// Steps that are looked ahead [default: horizon]
    #[arg(long, value_name = "COUNT")]
    horizon: Option<usize>,
    /// Environments of one run [default: by the device]
    #[arg(long, value_name = "COUNT")]
    batch: Option<usize>,
    /// Write actions, means and values to this npz file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write over the file of --out
    #[arg(long, requires = "out")]
    force: bool,
    /// How to print; with --out nothing is printed unless this is given
    #[arg(long, value_enum)]
    format: Option<output::Format>,
    /// Print the compiled graph and its peak memory before the run
    #[arg(long)]
    explain: bool,
}

/// What a run depends on, for its record.
#[derive(Debug, Clone, Serialize)]
struct MpcSettings {
    model: Tdmpc2Config,
    planner: MppiSettings,
    evaluation: bool,
    environments: usize,
    steps: usize,
    env: Option<String>,
}

/// The last call's plans, the seconds of every call, and how episodes went.
struct Results {
    plans: MppiPlans,
    seconds: Vec<f64>,
    shape: [usize; 2],
    episodes: Option<Vec<episodes::Episode>>,
}

/// Most planning calls, and most environments, of one command.
const MOST: usize = 1 << 20;

/// Loads, plans, writes.
pub fn run(arguments: &MpcArguments, selector: &str) -> Result<Outcome> {
    if let Some(path) = &arguments.out {
        check_free(path, arguments.force)?;
    }
    for (flag, value) in [
        ("--steps", Some(arguments.steps)),
        ("--environments", arguments.environments),
        ("--batch", arguments.batch),
    ] {
        if let Some(found) = value.filter(|value| !(1..=MOST).contains(value)) {
            return Err(Usage(format!("{flag}: expected 1 to {MOST}, found {found}")).into());
        }
    }
    let config = configuration(arguments)?;
    let settings = settings(arguments, &config);
    settings.check(&config)?;
    let file = arguments.weights.display().to_string();
    let weights = load_weights(&arguments.weights, arguments.weights_key.as_deref())?;
    let model = Tdmpc2::read(&weights, &config, arguments.task)?;
    drop(weights);
    let environments = match &arguments.env {
        Some(name) => Some(episodes::begin(arguments, name, &config)?),
        None => None,
    };
    let inputs = match &environments {
        Some(environments) => Inputs {
            count: environments.len(),
            observations: episodes::observe(environments),
            previous: Vec::new(),
        },
        None => Inputs::load(arguments, &config, &settings)?,
    };
    let Selection { device, reason } = Selection::by_name(selector)?;
    let hash = model.source().1.to_string();
    let mut planner = Mppi::new(model, settings, &device)?;
    let run = MpcSettings {
        model: config,
        planner: settings,
        evaluation: arguments.eval,
        environments: inputs.count,
        steps: arguments.steps,
        env: arguments.env.clone(),
    };
    inputs
        .request(arguments, 0, &inputs.previous)
        .check(planner.model().config(), &settings)?;
    let record = RunRecord::new(&device, arguments.seed, (&file, &hash), &run);
    note(record.head(&reason).trim_end());
    if arguments.explain {
        explain(arguments, &planner, &inputs)?;
    }
    let results = match environments {
        Some(environments) => episodes::run(arguments, &mut planner, environments)?,
        None => plan(arguments, &mut planner, &inputs)?,
    };
    output::write(arguments, &record, &results)?;
    Ok(Outcome::Good)
}

/// The configuration that is named, or lies beside the weights.
fn configuration(arguments: &MpcArguments) -> Result<Tdmpc2Config> {
    let path = match &arguments.config {
        Some(path) => path.clone(),
        None => arguments.weights.with_extension("json"),
    };
    let file = path.display().to_string();
    let text = read_text(&path)?;
    let json: serde_json::Value = serde_json::from_str(&text)
        .map_err(|error| Usage(format!("{file}: expected JSON, found {error}")))?;
    Ok(Tdmpc2Config::from_json(&file, &json)?)
}

/// A configuration is text; a larger file is a mistake.
const MOST_TEXT: u64 = 1 << 24;

fn read_text(path: &Path) -> Result<String> {
    let file = path.display();
    let length = std::fs::metadata(path)
        .map_err(|error| Usage(format!("{file}: cannot open: {error}")))?
        .len();
    if length > MOST_TEXT {
        return Err(Usage(format!(
            "{file}: expected at most {MOST_TEXT} bytes, found {length}"
        ))
        .into());
    }
    Ok(std::fs::read_to_string(path).map_err(|error| Usage(format!("{file}: {error}")))?)
}

/// Settings of the configuration, and what the command line says instead.
fn settings(arguments: &MpcArguments, config: &Tdmpc2Config) -> MppiSettings {
    let own = MppiSettings::of(config);
    MppiSettings {
        samples: arguments.samples.unwrap_or(own.samples),
        elites: arguments.elites.unwrap_or(own.elites),
        policies: arguments.policies.unwrap_or(own.policies),
        iterations: arguments.iterations.unwrap_or(own.iterations),
        horizon: arguments.horizon.unwrap_or(own.horizon),
        ..own
    }
}

/// What is planned for.
struct Inputs {
    /// Environments.
    count: usize,
    observations: Vec<f32>,
    /// Means to go on from; empty for none.
    previous: Vec<f32>,
}

impl Inputs {
    fn load(
        arguments: &MpcArguments,
        config: &Tdmpc2Config,
        settings: &MppiSettings,
    ) -> Result<Self> {
        let Some(file) = &arguments.obs else {
            return Err(Usage("expected --obs or --env, found neither".into()).into());
        };
        let arrays = load_arrays(file)?;
        let shape = arrays.get("obs")?.shape().to_vec();
        let rows = match *shape {
            [width] if width == config.obs_dim => 1,
            [rows, width] if width == config.obs_dim && rows > 0 => rows,
            _ => {
                return Err(Usage(format!(
                    "{}: obs: expected [N, {}] as the model takes them, found {shape:?}",
                    file.display(),
                    config.obs_dim
                ))
                .into());
            }
        };
        let count = arguments.environments.unwrap_or(rows);
        let observations = finite(&arrays, "obs", &shape)?;
        let plan = [rows, settings.horizon, config.action_dim];
        let previous = match arrays.contains("prev_mean") {
            true => finite(&arrays, "prev_mean", &plan)?,
            false => Vec::new(),
        };
        let repeat = |values: &[f32], width: usize| -> Vec<f32> {
            let rows = values.chunks(width.max(1)).cycle();
            match values.is_empty() {
                true => Vec::new(),
                false => rows.take(count).flatten().copied().collect(),
            }
        };
        Ok(Self {
            count,
            observations: repeat(&observations, config.obs_dim),
            previous: repeat(&previous, settings.length(config)),
        })
    }

    fn request<'a>(
        &'a self,
        arguments: &MpcArguments,
        call: usize,
        previous: &'a [f32],
    ) -> MppiRequest<'a> {
        MppiRequest {
            previous,
            evaluation: arguments.eval,
            call: call as u64,
            batch: arguments.batch,
            ..MppiRequest::new(&self.observations, arguments.seed)
        }
    }
}

/// Numbers of an array, in single precision.
fn finite(arrays: &ArrayMap, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    let array = arrays.expect(name, shape)?;
    let values = array
        .to_f64()
        .map_err(|error| arrays.array_error(name, error))?;
    // What single precision does not hold becomes infinite in it.
    match values.iter().position(|value| !(*value as f32).is_finite()) {
        Some(place) => Err(Usage(format!(
            "{}: {name}[{place}]: expected a finite number of single precision, found {}",
            arrays.file().display(),
            values.get(place).copied().unwrap_or(f64::NAN)
        ))
        .into()),
        None => Ok(values.into_iter().map(|value| value as f32).collect()),
    }
}

fn explain(arguments: &MpcArguments, planner: &Mppi, inputs: &Inputs) -> Result<()> {
    let environments = arguments.batch.unwrap_or(1).min(inputs.count);
    let plan = planner.plan_of(environments, arguments.eval)?;
    let rounds = u32::try_from(planner.settings().iterations)?;
    let text = format!(
        "graph of a run of {environments} environments; of the value functions two are asked in a round\n{}",
        plan.explain(rounds)
    );
    match arguments.format {
        None | Some(output::Format::Table) => print(&text)?,
        // Results that a program reads must stay alone on standard output.
        Some(_) => note(text.trim_end()),
    }
    Ok(())
}

/// The calls, one after the other.
fn plan(arguments: &MpcArguments, planner: &mut Mppi, inputs: &Inputs) -> Result<Results> {
    let mut previous = inputs.previous.clone();
    let mut seconds = Vec::with_capacity(arguments.steps);
    let mut plans = MppiPlans::default();
    for call in 0..arguments.steps {
        plans = planner.plan(&inputs.request(arguments, call, &previous))?;
        seconds.push(plans.report.seconds);
        previous = plans.means.iter().map(|value| *value as f32).collect();
    }
    Ok(Results {
        plans,
        seconds,
        shape: [
            planner.settings().horizon,
            planner.model().config().action_dim,
        ],
        episodes: None,
    })
}
