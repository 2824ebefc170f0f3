//! `attractor bench`: kernels, samplers and ensembles against the roofline of the device.

mod flow;

use super::exit::{Outcome, Usage};
use super::model::{Configuration, load_weights, shipped};
use super::output::{note, pretty, print};
use super::record::name;
use super::sampling::{Sampler, SamplerArguments};
use anyhow::Result;
use attractor::bench::{
    ControlRecord, Effort, EnsembleRecord, ExponentsRecord, FlowRecord, Header, KernelRecord,
    MemoryRecord, MppiRecord, PlannerBench, PlannerRecord, Roofline, cases, control, control_line,
    drift_line, ensemble_table, exponent_workloads, exponents_table, kernel_table,
    measure_ensembles, measure_exponents, measure_kernel, measure_memory, measure_mppi,
    memory_line, mppi_table, mppi_workloads, planner_table, roofline_lines, slowest_lines,
};
use attractor::device::{Device, DeviceKind, Selection};
use attractor::formats::{ArrayMap, load_arrays};
use attractor::samplers::{Observations, Planner, SamplerKind, SamplerSettings};
use attractor_kernels::KernelId;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `attractor bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArguments {
    /// Measure what has this in its name: kernel, a kernel's name, planner, a sampler, flow, a solver,
    /// ensemble, exponents, mppi, control, memory
    filter: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Examples that the planner plans for at once [default: 1,64,1024; with --quick 1,8]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    batches: Vec<usize>,
    /// Runs of each measurement [default: 15 for kernels, 7 for the samplers; with --quick 5 and 3]
    #[arg(long, value_name = "N")]
    repetitions: Option<usize>,
    /// Fewer and shorter measurements
    #[arg(long)]
    quick: bool,
    /// Weights of the planner [default: the shipped ones]
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Which state dictionary of a PyTorch checkpoint [default: averaged weights first]
    #[arg(long, value_name = "KEY", requires = "weights")]
    weights_key: Option<String>,
    /// Configuration [default: the JSON beside the weights]
    #[arg(long, value_name = "FILE", requires = "weights")]
    config: Option<PathBuf>,
    /// Observations [default: the shipped ones]
    #[arg(long, value_name = "FILE")]
    obs: Option<PathBuf>,
    #[command(flatten)]
    sampler: SamplerArguments,
    #[command(flatten)]
    flow: flow::FlowFlags,
}

/// A measurement of any kind.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Record {
    Kernel(Box<KernelRecord>),
    Planner(Box<PlannerRecord>),
    Flow(Box<FlowRecord>),
    Ensemble(Box<EnsembleRecord>),
    Exponents(Box<ExponentsRecord>),
    Mppi(Box<MppiRecord>),
    Memory(MemoryRecord),
}

#[derive(Debug, Serialize)]
struct Report {
    header: Header,
    roofline: Roofline,
    /// Measured again at the end: where it differs, the machine was busy.
    roofline_after: Roofline,
    control: Option<ControlRecord>,
    records: Vec<Record>,
    correct: bool,
}

/// The planner's files.
struct Inputs {
    configuration: Configuration,
    weights: ArrayMap,
    observations: Observations,
    settings: Vec<SamplerSettings>,
}

impl BenchArguments {
    /// Whether the filter lets something of this name through.
    fn wants(&self, name: &str) -> bool {
        let filter = self.filter.as_deref().unwrap_or_default().trim();
        name.contains(&filter.to_lowercase())
    }

    fn effort(&self, usual: usize, quick: usize, seconds: f64) -> Effort {
        let by_default = if self.quick { quick } else { usual };
        Effort {
            repetitions: self.repetitions.unwrap_or(by_default).max(1),
            seconds: if self.quick { seconds / 4.0 } else { seconds },
        }
    }

    fn for_kernels(&self) -> Effort {
        self.effort(15, 5, 2.0)
    }

    /// Refuses numbers out of range and a filter that lets nothing through; gives the batch sizes.
    fn check(&self) -> Result<Vec<usize>> {
        const MOST: usize = 1 << 20;
        if let Some(bad) = self.batches.iter().find(|&&b| b == 0 || b > MOST) {
            return Err(Usage(format!("--batches: expected 1 to {MOST}, found {bad}")).into());
        }
        if self.repetitions == Some(0) {
            return Err(Usage("--repetitions: expected 1 or more, found 0".into()).into());
        }
        let kernels = KernelId::ALL
            .iter()
            .map(|id| format!("kernel {}", id.name()));
        let samplers = self.samplers();
        let samplers = samplers.iter().map(|s| planner_name((*s).into()));
        let solvers = self.flow.names(self.quick);
        let others = ["ensemble", "control", "memory", "roofline"].map(String::from);
        let reasoners = exponent_workloads().map(exponents_name);
        let world_models = mppi_workloads().map(mppi_name);
        let mut names = kernels
            .chain(samplers)
            .chain(solvers)
            .chain(reasoners)
            .chain(world_models)
            .chain(others);
        if !names.any(|name| self.wants(&name)) {
            return Err(Usage(format!(
                "filter {}: expected part of kernel, a kernel's name, planner, a sampler, flow, a solver, ensemble, \
                 exponents, mppi, control, memory or roofline",
                self.filter.as_deref().unwrap_or_default()
            ))
            .into());
        }
        self.flow.check()?;
        Ok(match (self.batches.is_empty(), self.quick) {
            (false, _) => self.batches.clone(),
            (true, true) => vec![1, 8],
            (true, false) => vec![1, 64, 1024],
        })
    }

    /// The sampler asked for, or all.
    fn samplers(&self) -> Vec<Sampler> {
        self.sampler.sampler.map_or_else(
            || {
                vec![
                    Sampler::Greedy,
                    Sampler::MaskgitRemask,
                    Sampler::RemdmBernoulli,
                ]
            },
            |sampler| vec![sampler],
        )
    }

    /// Prints a line where it does not mix with JSON.
    fn tell(&self, line: &str) -> Result<()> {
        if self.json {
            note(line);
            Ok(())
        } else {
            Ok(print(&format!("{line}\n"))?)
        }
    }

    fn inputs(&self) -> Result<Inputs> {
        let (configuration, weights) = match &self.weights {
            Some(file) => (
                Configuration::load(self.config.as_deref(), file)?,
                load_weights(file, self.weights_key.as_deref())?,
            ),
            None => (shipped::configuration()?, shipped::weights()?),
        };
        let arrays = match &self.obs {
            Some(file) => load_arrays(file)?,
            None => shipped::observations()?,
        };
        let settings: Result<Vec<_>> = self
            .samplers()
            .into_iter()
            .map(|kind| {
                let flags = SamplerArguments {
                    sampler: Some(kind),
                    ..self.sampler.clone()
                };
                flags.settings(&configuration)
            })
            .collect();
        Ok(Inputs {
            observations: Observations::from_arrays(&configuration.denoiser, &arrays)?,
            settings: settings?,
            configuration,
            weights,
        })
    }
}

/// Measures what the filter lets through; fails when a result is wrong or memory grows.
pub fn run(arguments: &BenchArguments, selector: &str) -> Result<Outcome> {
    let batches = arguments.check()?;
    let inputs = arguments.inputs()?;
    let flow = arguments.flow.work(arguments)?;
    let Selection { device, reason } = Selection::by_name(selector)?;
    let header = Header::of(&device);
    arguments.tell(&head(&header, &reason))?;
    let roofline = Roofline::measure(&device, &arguments.for_kernels())?;
    arguments.tell(&roofline_lines(&roofline))?;
    let control = arguments
        .wants("control")
        .then(|| control(&device, &arguments.for_kernels()))
        .transpose()?;
    if let Some(control) = &control {
        arguments.tell(&control_line(control))?;
    }
    let kernels = measure_kernels(arguments, &device, &roofline)?;
    if !kernels.is_empty() && !arguments.json {
        print(&(kernel_table(&kernels).to_text() + "\n"))?;
    }
    let planner = measure_planner(arguments, &device, &inputs, &batches, &roofline)?;
    if !planner.is_empty() && !arguments.json {
        print(&planner_text(&planner))?;
    }
    let flow = match flow {
        Some(work) => work.measure(arguments, &device, &roofline)?,
        None => Vec::new(),
    };
    let ensembles = match arguments.wants("ensemble") {
        true => {
            let effort = arguments.for_kernels();
            measure_ensembles(&device, &roofline, &effort, arguments.quick)?
        }
        false => Vec::new(),
    };
    if !ensembles.is_empty() && !arguments.json {
        print(&(ensemble_table(&ensembles).to_text() + "\n"))?;
    }
    let wanted = |workload: &str| arguments.wants(&exponents_name(workload));
    let effort = arguments.effort(5, 3, 20.0);
    let exponents = measure_exponents(&device, &roofline, &effort, arguments.quick, wanted)?;
    if !exponents.is_empty() && !arguments.json {
        print(&(exponents_table(&exponents).to_text() + "\n"))?;
    }
    let mppi = measure_planning(arguments, &device, &roofline)?;
    let memory = arguments
        .wants("memory")
        .then(|| measure_flatness(arguments, &device, &inputs))
        .transpose()?;
    if let Some(memory) = &memory {
        arguments.tell(&memory_line(memory))?;
    }
    let roofline_after = Roofline::measure(&device, &arguments.for_kernels())?;
    if let Some(line) = drift_line(&roofline, &roofline_after) {
        arguments.tell(&line)?;
    }
    let correct = kernels.iter().all(|r| r.correct)
        && planner.iter().all(|r| r.correct)
        && flow.iter().all(|r| r.correct)
        && ensembles.iter().all(|r| r.correct)
        && exponents.iter().all(|r| r.correct)
        && mppi.iter().all(|r| r.correct)
        && memory.as_ref().is_none_or(|r| r.flat);
    if arguments.json {
        let kernels = kernels.into_iter().map(|r| Record::Kernel(Box::new(r)));
        let planner = planner.into_iter().map(|r| Record::Planner(Box::new(r)));
        let flow = flow.into_iter().map(|r| Record::Flow(Box::new(r)));
        let exponents = exponents
            .into_iter()
            .map(|r| Record::Exponents(Box::new(r)));
        let ensembles = ensembles.into_iter().map(|r| Record::Ensemble(Box::new(r)));
        let records = kernels
            .chain(planner)
            .chain(flow)
            .chain(ensembles)
            .chain(exponents)
            .chain(mppi.into_iter().map(|r| Record::Mppi(Box::new(r))))
            .chain(memory.map(Record::Memory));
        print(&pretty(&Report {
            header,
            roofline,
            roofline_after,
            control,
            records: records.collect(),
            correct,
        })?)?;
    }
    Ok(if correct {
        Outcome::Good
    } else {
        Outcome::CheckFailed
    })
}

/// Measures planning calls, of one environment and of many, and prints them.
fn measure_planning(
    arguments: &BenchArguments,
    device: &Device,
    roofline: &Roofline,
) -> Result<Vec<MppiRecord>> {
    let batches: &[usize] = match (arguments.batches.is_empty(), arguments.quick) {
        (false, _) => &arguments.batches,
        (true, true) => &[1],
        (true, false) => &[1, 64],
    };
    let wanted = |workload: &str| arguments.wants(&mppi_name(workload));
    let effort = arguments.effort(7, 3, 20.0);
    let records = measure_mppi(device, roofline, &effort, batches, wanted)?;
    if !records.is_empty() && !arguments.json {
        print(&(mppi_table(&records).to_text() + "\n"))?;
    }
    Ok(records)
}

/// What the filter is held against for a planner over a world model.
fn mppi_name(workload: &str) -> String {
    format!("mppi {workload}")
}

/// What the filter is held against for a reasoner with its tangents.
fn exponents_name(workload: &str) -> String {
    format!("exponents {workload}")
}

/// What the filter is held against for a sampler.
fn planner_name(sampler: SamplerKind) -> String {
    format!("planner {}", name(&sampler))
}

fn head(header: &Header, reason: &str) -> String {
    format!(
        "attractor {}\ndevice   {reason}{}\nfeatures {}\nthreads  {}",
        header.version,
        if header.checked {
            "; checked shaders"
        } else {
            ""
        },
        header.features_in_words(),
        header.threads
    )
}

fn measure_kernels(
    arguments: &BenchArguments,
    device: &Device,
    roofline: &Roofline,
) -> Result<Vec<KernelRecord>> {
    let large = !arguments.quick && device.info().kind.is_hardware_gpu();
    let all = KernelId::ALL.iter().flat_map(|&id| cases(id, large));
    let mut records = Vec::new();
    for case in all {
        if arguments.wants(&format!("kernel {}", case.kernel.id().name())) {
            let effort = arguments.for_kernels();
            records.push(measure_kernel(device, &case, roofline, &effort)?);
        }
    }
    Ok(records)
}

fn measure_planner(
    arguments: &BenchArguments,
    device: &Device,
    inputs: &Inputs,
    batches: &[usize],
    roofline: &Roofline,
) -> Result<Vec<PlannerRecord>> {
    let mut settings = inputs.settings.clone();
    settings.retain(|s| arguments.wants(&planner_name(s.sampler)));
    let bench = PlannerBench {
        device,
        config: &inputs.configuration.denoiser,
        weights: &inputs.weights,
        observations: &inputs.observations,
        settings: &settings,
        batches,
        effort: arguments.effort(7, 3, 20.0),
        checked: if arguments.quick { 8 } else { 32 },
    };
    Ok(bench.measure(roofline)?)
}

fn measure_flatness(
    arguments: &BenchArguments,
    device: &Device,
    inputs: &Inputs,
) -> Result<MemoryRecord> {
    let config = inputs.configuration.denoiser.clone();
    let mut planner = Planner::new(config, &inputs.weights, device)?;
    let mut settings = inputs.settings.clone();
    // The sampler with the most to draw and keep.
    let last = settings.pop().map_or_else(
        || Err(Usage("no sampler to measure memory with".into())),
        Ok,
    )?;
    let plans = match (arguments.quick, device.info().kind) {
        (true, DeviceKind::SoftwareGpu) => 20,
        (true, _) => 100,
        (false, _) => 1000,
    };
    let warm_up = (plans / 10).max(10);
    let observations = &inputs.observations;
    Ok(measure_memory(
        &mut planner,
        &last,
        observations,
        (warm_up, plans),
    )?)
}

/// The planner's table, and below it where each run spends its time.
fn planner_text(planner: &[PlannerRecord]) -> String {
    let mut text = planner_table(planner).to_text();
    for record in planner {
        let sampler = name(&record.sampler);
        let slowest = slowest_lines(&record.kernels);
        text += &format!("{sampler} at {}: {slowest}\n", record.batch);
    }
    text + "\n"
}
