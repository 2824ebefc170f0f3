//! `attractor bench`: kernels and the planner against the roofline of the device.

use super::exit::{Outcome, Usage};
use super::model::{Configuration, load_weights, shipped};
use super::output::{note, pretty, print};
use super::sampling::{Sampler, SamplerArguments};
use anyhow::Result;
use attractor::bench::{
    ControlRecord, Effort, Header, KernelRecord, MemoryRecord, PlannerBench, PlannerRecord,
    Roofline, cases, control, control_line, kernel_table, measure_kernel, measure_memory,
    memory_line, planner_table, roofline_lines, slowest_lines,
};
use attractor::device::{Device, DeviceKind, Selection};
use attractor::formats::{ArrayMap, load_arrays};
use attractor::samplers::{Observations, Planner, SamplerSettings};
use attractor_kernels::KernelId;
use serde::Serialize;
use std::path::PathBuf;

/// Arguments of `attractor bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArguments {
    /// Measure what has this in its name: kernel, a kernel's name, planner, a sampler, control, memory
    filter: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Examples that the planner plans for at once [default: 1,64,1024; with --quick 1,8]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    batches: Vec<usize>,
    /// Runs of each measurement [default: 15 for kernels, 7 for the planner; with --quick 5 and 3]
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
}

/// A measurement of any kind.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Record {
    Kernel(Box<KernelRecord>),
    Planner(Box<PlannerRecord>),
    Memory(MemoryRecord),
}

#[derive(Debug, Serialize)]
struct Report {
    header: Header,
    roofline: Roofline,
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

    /// Batch sizes of the planner.
    fn batches(&self) -> Result<Vec<usize>> {
        const MOST: usize = 1 << 20;
        if let Some(bad) = self.batches.iter().find(|&&b| b == 0 || b > MOST) {
            return Err(Usage(format!("--batches: expected 1 to {MOST}, found {bad}")).into());
        }
        Ok(match (self.batches.is_empty(), self.quick) {
            (false, _) => self.batches.clone(),
            (true, true) => vec![1, 8],
            (true, false) => vec![1, 64, 1024],
        })
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
        let kinds = match self.sampler.sampler {
            Some(sampler) => vec![sampler],
            None => vec![
                Sampler::Greedy,
                Sampler::MaskgitRemask,
                Sampler::RemdmBernoulli,
            ],
        };
        let settings: Result<Vec<_>> = kinds
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
    let batches = arguments.batches()?;
    let inputs = arguments.inputs()?;
    let Selection { device, reason } = Selection::by_name(selector)?;
    let header = Header::of(&device);
    note(&head(&header, &reason));
    let roofline = Roofline::measure(&device, &arguments.for_kernels())?;
    note(&roofline_lines(&roofline));
    let wants_control = arguments.wants("control");
    let control = wants_control
        .then(|| control(&device, &arguments.for_kernels()))
        .transpose()?;
    if let Some(control) = &control {
        note(&control_line(control));
    }
    let kernels = measure_kernels(arguments, &device, &roofline)?;
    let planner = measure_planner(arguments, &device, &inputs, &batches, &roofline)?;
    let memory = if arguments.wants("memory") {
        Some(measure_flatness(arguments, &device, &inputs)?)
    } else {
        None
    };
    let nothing = kernels.is_empty() && planner.is_empty() && memory.is_none();
    if nothing && control.is_none() && !arguments.wants("roofline") {
        let filter = arguments.filter.as_deref().unwrap_or_default();
        let expected = "kernel, a kernel's name, planner, a sampler, control, memory or roofline";
        return Err(Usage(format!("filter {filter}: expected part of {expected}")).into());
    }
    if !arguments.json {
        print(&text(&kernels, &planner, memory.as_ref()))?;
    }
    let correct = kernels.iter().all(|r| r.correct)
        && planner.iter().all(|r| r.correct)
        && memory.as_ref().is_none_or(|r| r.flat);
    if arguments.json {
        let boxed = kernels.into_iter().map(|r| Record::Kernel(Box::new(r)));
        let plans = planner.into_iter().map(|r| Record::Planner(Box::new(r)));
        let records = boxed.chain(plans).chain(memory.map(Record::Memory));
        print(&pretty(&Report {
            header,
            roofline,
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
        let name = format!("kernel {} {}", case.kernel.id().name(), case.name);
        if arguments.wants(&name) {
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
    settings.retain(|s| {
        let sampler = super::record::name(&s.sampler);
        arguments.wants(&format!("planner {sampler}"))
    });
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

fn text(
    kernels: &[KernelRecord],
    planner: &[PlannerRecord],
    memory: Option<&MemoryRecord>,
) -> String {
    let mut parts = Vec::new();
    if !kernels.is_empty() {
        parts.push(kernel_table(kernels).to_text());
    }
    if !planner.is_empty() {
        let mut part = planner_table(planner).to_text();
        for record in planner {
            let sampler = super::record::name(&record.sampler);
            let slowest = slowest_lines(record);
            part += &format!("{sampler} at {}: {slowest}\n", record.batch);
        }
        parts.push(part);
    }
    parts.extend(memory.map(|record| memory_line(record) + "\n"));
    parts.join("\n")
}
