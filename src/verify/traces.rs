//! `traces`: whole runs of the samplers, replayed from their recorded random numbers, step for step.

use std::collections::HashMap;

use super::checks::{CaseError, Cases, Checks};
use super::folder::{Folder, Node, integers, numbers};
use super::models::{observations, planner};
use super::schedules::recipe;
use crate::device::Device;
use crate::formats::ArrayMap;
use crate::samplers::schedule::Recipe;
use crate::samplers::{
    Draws, Observations, PlanRequest, Planner, RemaskStrategy, SamplerKind, SamplerSettings,
    StepTables, Trace,
};
use crate::worlds::minihack::{Grid, hazards};

/// Absolute, on logits and probabilities; tokens and choices must be equal.
const TOLERANCE: f64 = 1e-4;
/// More steps than any recording has.
const MOST_STEPS: usize = 10_000;

pub(super) fn run(folder: &Folder, traces: &Node<'_>, device: &Device, cases: &mut Cases) {
    let entries = match traces.elements() {
        Ok(entries) => entries,
        Err(error) => return cases.run("traces", "trace", |_| Err(error)),
    };
    let mut planners = HashMap::new();
    for (at, entry) in entries.iter().enumerate() {
        let file = entry.text("file").map(str::to_owned);
        let name = file.unwrap_or_else(|_| format!("traces.{at}"));
        cases.run(&name, "trace", |checks| {
            let model = entry.find("model");
            let model = model.as_ref().map(Node::as_text).transpose()?;
            let planner = match planners.entry(model.map(str::to_owned)) {
                std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
                std::collections::hash_map::Entry::Vacant(new) => {
                    new.insert(planner(folder, model, device)?)
                }
            };
            Recording::read(folder, entry, planner)?.check(planner, checks)
        });
    }
}

/// A recorded run.
struct Recording<'a> {
    entry: &'a Node<'a>,
    arrays: ArrayMap,
    settings: SamplerSettings,
    observations: Observations,
    /// Number of the first step in the names of the tensors.
    first: usize,
    /// Recorded steps.
    steps: usize,
}

impl<'a> Recording<'a> {
    fn read(folder: &Folder, entry: &'a Node<'a>, planner: &Planner) -> Result<Self, CaseError> {
        let arrays = folder.arrays(entry.text("file")?)?;
        let numbers: Vec<usize> = arrays
            .names()
            .filter_map(|name| name.strip_prefix("step")?.split_once('.')?.0.parse().ok())
            .collect();
        let (Some(&first), Some(&last)) = (numbers.iter().min(), numbers.iter().max()) else {
            return Err(CaseError::Engine("the file holds no steps".into()));
        };
        let steps = last - first + 1;
        if steps > MOST_STEPS {
            return Err(CaseError::Engine(format!("{steps} steps")));
        }
        Ok(Self {
            settings: settings(entry, steps)?,
            observations: observations(planner, &arrays)?,
            entry,
            arrays,
            first,
            steps,
        })
    }

    fn name(&self, step: usize, what: &str) -> String {
        format!("step{}.{what}", self.first + step)
    }

    /// One kind of random number over all steps `[K, N, L]`. The last step of the first recipe's sampler
    /// commits everything and remasks nothing, so that no draw is recorded and none is used.
    fn draws(&self, what: &str, length: usize) -> Result<Vec<f32>, CaseError> {
        let shape = [self.observations.count, length];
        let idle = self.settings.sampler == SamplerKind::MaskgitRemask && what == "u_remask";
        let mut all = Vec::new();
        for step in 0..self.steps {
            let name = self.name(step, what);
            if idle && step + 1 == self.steps && !self.arrays.contains(&name) {
                all.resize(all.len() + shape[0] * shape[1], 0.0);
            } else {
                all.extend(self.arrays.expect_f32(&name, &shape)?);
            }
        }
        Ok(all)
    }

    /// All random numbers that the sampler uses.
    fn replay(&self, length: usize) -> Result<Option<Draws>, CaseError> {
        let independent = self.settings.sampler == SamplerKind::RemdmBernoulli;
        if self.settings.sampler == SamplerKind::Greedy {
            return Ok(None);
        }
        let unmask = independent.then(|| self.draws("u_unmask", length));
        Ok(Some(Draws {
            steps: self.steps,
            categorical: self.draws("u_cat", length)?,
            unmask: unmask.transpose()?.unwrap_or_default(),
            remask: self.draws("u_remask", length)?,
        }))
    }

    /// Executed actions of every example, which stay as they are.
    fn locked(&self, length: usize) -> Result<Option<Vec<Vec<i32>>>, CaseError> {
        if !self.arrays.contains("in.hist_len") {
            return Ok(None);
        }
        let shape = [self.observations.count, length];
        let lengths = self.arrays.expect_i32("in.hist_len", &shape[..1])?;
        let history = self.arrays.expect_i32("in.history", &shape)?;
        let rows = history.chunks(length.max(1)).zip(lengths);
        let prefix = |(row, kept): (&[i32], i32)| {
            let kept = usize::try_from(kept).ok()?;
            row.get(..kept).map(<[i32]>::to_vec)
        };
        let locked: Option<Vec<_>> = rows.map(prefix).collect();
        let wrong = || CaseError::Engine(format!("in.hist_len: expected 0 to {length}"));
        locked.map(Some).ok_or_else(wrong)
    }

    fn hazards(&self) -> Result<Vec<[bool; 4]>, CaseError> {
        let side = self.observations.crop;
        let crops = self.observations.local.chunks((side * side).max(1));
        crops
            .map(|crop| Ok(hazards(&Grid::new(crop, side, side)?)))
            .collect()
    }

    fn check(&self, planner: &mut Planner, checks: &mut Checks) -> Result<(), CaseError> {
        let length = planner.config().seq_len;
        let levels = planner.config().num_diffusion_steps;
        self.check_config(planner)?;
        let draws = self.replay(length)?;
        let locked = self.locked(length)?;
        let hazards = self.hazards()?;
        let plans = planner.plan(
            &self.settings,
            &PlanRequest {
                draws: draws.as_ref(),
                locked: locked.as_deref(),
                hazards: self.settings.physics_aware.then_some(&hazards),
                record: true,
                ..PlanRequest::new(&self.observations, 0)
            },
        )?;
        let (_, expected) = integers(&self.arrays, "out.seq")?;
        checks.equal("out.seq", &plans.tokens, &expected);
        let trace = plans.trace.unwrap_or_default();
        let mask = planner.config().mask_token as f64;
        for step in 0..self.steps {
            self.check_step(step, &trace, mask, checks)?;
        }
        let tables = StepTables::new(&self.settings, length, levels);
        let tables = tables.map_err(|error| CaseError::Engine(error.to_string()))?;
        self.check_index(&tables, &trace, mask, checks)
    }

    /// The run's own copy of the sizes must be the model's.
    fn check_config(&self, planner: &Planner) -> Result<(), CaseError> {
        let config = planner.config();
        let sizes = [
            ("seq_len", config.seq_len),
            ("action_dim", config.action_dim),
            ("mask_token", config.mask_token),
            ("num_diffusion_steps", config.num_diffusion_steps),
        ];
        for (key, ours) in sizes {
            let Some(theirs) = self.entry.get("cfg")?.find(key) else {
                continue;
            };
            if theirs.as_size()? != ours {
                return Err(CaseError::Engine(format!(
                    "cfg.{key}: expected the model's {ours}, found {}",
                    theirs.json()
                )));
            }
        }
        Ok(())
    }

    /// Every recorded tensor of one step.
    fn check_step(
        &self,
        step: usize,
        trace: &Trace,
        mask: f64,
        checks: &mut Checks,
    ) -> Result<(), CaseError> {
        let start = self.name(step, "");
        let kinds: Vec<&str> = self
            .arrays
            .names()
            .filter_map(|name| name.strip_prefix(start.as_str()))
            .collect();
        checks.hold(!kinds.is_empty(), || format!("{start} is not in the file"));
        for kind in kinds.into_iter().filter(|kind| !kind.starts_with("u_")) {
            let name = self.name(step, kind);
            let (_, mut expected) = numbers(&self.arrays, &name)?;
            let found = quantity(kind, self.settings.sampler, step, trace)?;
            let Some((mut found, exact)) = found else {
                return Err(CaseError::Unsupported(format!("unknown tensor {name}")));
            };
            if kind == "p_unmask" && found.len() == expected.len() {
                // Only masked positions can be unmasked; elsewhere the number means nothing.
                let tokens = step_of(trace, "tokens_in", step)?;
                let masked = |values: &mut Vec<f64>| {
                    let mut tokens = tokens.iter();
                    values.retain(|_| tokens.next() == Some(&mask));
                };
                masked(&mut found);
                masked(&mut expected);
            }
            if exact {
                checks.equal(&name, &found, &expected);
            } else {
                checks.close(&name, &found, &expected, TOLERANCE);
            }
        }
        Ok(())
    }

    /// What the index says of every step.
    fn check_index(
        &self,
        tables: &StepTables,
        trace: &Trace,
        mask: f64,
        checks: &mut Checks,
    ) -> Result<(), CaseError> {
        let Some(steps) = self.entry.find("per_step") else {
            return Ok(());
        };
        let masked = |values: &[f64]| values.iter().filter(|&&token| token == mask).count();
        for (step, entry) in steps.elements()?.iter().enumerate() {
            let row = tables.schedule.get(step * tables.columns..);
            let count = row.and_then(|row| row.first()).map(|&count| count as usize);
            let taken = |flag| decisions(self.settings.sampler, flag, step, trace);
            let known: [(&str, Option<usize>); 6] = [
                ("t_discrete", tables.times.get(step).map(|&t| t as usize)),
                ("num_to_unmask", count),
                ("n_unmask", count),
                ("n_masked_after", {
                    Some(masked(step_of(trace, "tokens_out", step)?))
                }),
                ("n_unmasked", Some(masked_sum(&taken(Flag::Unmask)?))),
                ("n_remasked", Some(masked_sum(&taken(Flag::Remask)?))),
            ];
            for (key, found) in known {
                if let Some(expected) = entry.find(key) {
                    let found = found.unwrap_or(usize::MAX);
                    let what = format!("per_step.{step}.{key}");
                    checks.equal(&what, &[found], &[expected.as_size()?]);
                }
            }
        }
        Ok(())
    }
}

fn masked_sum(flags: &[f64]) -> usize {
    flags.iter().filter(|&&flag| flag != 0.0).count()
}

/// The settings of the original's sampler: its recipe and its configuration.
fn settings(entry: &Node<'_>, steps: usize) -> Result<SamplerSettings, CaseError> {
    let recipe = recipe(entry.text("recipe")?)?;
    let sampler = match (entry.text("sampler")?, recipe) {
        ("greedy", _) => SamplerKind::Greedy,
        ("remdm" | "maskgit_remask", Recipe::R1) => SamplerKind::MaskgitRemask,
        ("remdm" | "remdm_bernoulli", Recipe::R2) => SamplerKind::RemdmBernoulli,
        (other, _) => {
            let reason = format!("unknown sampler {other:?} of {recipe:?}");
            return Err(CaseError::Unsupported(reason));
        }
    };
    let mut settings = SamplerSettings::new(sampler);
    let listed = ["steps", "K"].iter().find_map(|key| entry.find(key));
    let steps = listed.map_or(Ok(steps), |listed| listed.as_size())?;
    settings.steps = u32::try_from(steps).unwrap_or(u32::MAX);
    let flag = |key: &str| entry.find(key).map_or(Ok(false), |flag| flag.as_bool());
    settings.physics_aware = flag("physics_aware")?;
    settings.blind_global = flag("blind_global")?;
    if sampler == SamplerKind::Greedy {
        return Ok(settings);
    }
    let config = entry.get("cfg")?;
    config
        .text("noise_schedule")?
        .clone_into(&mut settings.noise_schedule);
    settings.eta = config.number("eta")? as f32;
    settings.temperature = config.number("temperature")? as f32;
    settings.strategy = match config.text("remask_strategy")? {
        "rescale" => RemaskStrategy::Rescale,
        "cap" => RemaskStrategy::Cap,
        "conf" => RemaskStrategy::Conf,
        other => {
            let reason = format!("unknown remask_strategy {other:?}");
            return Err(CaseError::Unsupported(reason));
        }
    };
    if sampler == SamplerKind::MaskgitRemask {
        // Zero and below keep every action.
        settings.top_k = u32::try_from(config.integer("top_k")?.max(0)).unwrap_or(0);
    } else {
        // One and above keep every action.
        settings.top_p = (config.number("top_p")? as f32).min(1.0);
    }
    Ok(settings)
}

/// What a decision word says.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Flag {
    Unmask,
    Remask,
    /// The token after unmasking and before remasking.
    Between,
}

/// One part of the recorded decisions, which the two step kernels write differently.
fn decisions(
    sampler: SamplerKind,
    flag: Flag,
    step: usize,
    trace: &Trace,
) -> Result<Vec<f64>, CaseError> {
    let words = step_of(trace, "decision", step)?;
    let part = |word: f64| {
        let bits = word as u32;
        match (sampler, flag) {
            (SamplerKind::RemdmBernoulli, Flag::Unmask) => u32::from(bits == 1),
            (SamplerKind::RemdmBernoulli, Flag::Remask) => u32::from(bits == 2),
            (_, Flag::Unmask) => bits & 1,
            (_, Flag::Remask) => (bits >> 1) & 1,
            (_, Flag::Between) => bits >> 8,
        }
    };
    Ok(words.iter().map(|&word| f64::from(part(word))).collect())
}

fn step_of<'t>(trace: &'t Trace, name: &str, step: usize) -> Result<&'t [f64], CaseError> {
    let recorded = trace.get(name);
    let missing = || CaseError::Engine(format!("the engine recorded no {name}"));
    Ok(recorded.ok_or_else(missing)?.step(step))
}

/// The engine's values of a recorded kind and whether they must be equal; `None` when the kind is not
/// known.
fn quantity(
    kind: &str,
    sampler: SamplerKind,
    step: usize,
    trace: &Trace,
) -> Result<Option<(Vec<f64>, bool)>, CaseError> {
    let (name, exact) = match kind {
        "logits" => ("logits", false),
        "probs" => ("probabilities", false),
        "confidence" | "decode_prob" => ("confidence", false),
        "preds" => ("prediction", true),
        "seq_in" => ("tokens_in", true),
        "seq_out" => ("tokens_out", true),
        "remask_prob" => ("remask_probability", false),
        "p_unmask" => ("unmask_probability", false),
        "psi_in" => ("psi_in", false),
        "sigma" => ("sigma", false),
        "unmask_mask" | "do_unmask" => {
            return Ok(Some((decisions(sampler, Flag::Unmask, step, trace)?, true)));
        }
        "do_remask" => {
            return Ok(Some((decisions(sampler, Flag::Remask, step, trace)?, true)));
        }
        "seq_after_unmask" => {
            return Ok(Some((
                decisions(sampler, Flag::Between, step, trace)?,
                true,
            )));
        }
        _ => return Ok(None),
    };
    Ok(Some((step_of(trace, name, step)?.to_vec(), exact)))
}
