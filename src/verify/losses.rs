//! `losses`: forward masking, diffusion losses with their gradients, and the goal loss.

use super::checks::{CaseError, Cases, Checks};
use super::folder::{Folder, Node, integers, numbers, wide};
use super::schedules::{recipe, schedule};
use crate::formats::ArrayMap;
use crate::samplers::schedule::{NoiseSchedule, Recipe};
use crate::training::losses::{
    AlphaPrime, DiffusionBatch, DiffusionLoss, DiffusionLossOutput, LossConfig, SequenceShape,
    diffusion_loss, forward_mask, goal_loss,
};
use crate::worlds::minihack::{Grid, StaircaseGlyphs, staircase_target};

/// Relative, of losses, and of gradients by their largest entry.
const TOLERANCE: f64 = 1e-4;
/// Relative, where the weight comes from a cosine's f32 difference quotient, whose rounding differs
/// between libraries.
const QUOTIENT_TOLERANCE: f64 = 5e-3;

pub(super) fn run(folder: &Folder, losses: &Node<'_>, cases: &mut Cases) {
    let recipes = match losses.elements() {
        Ok(recipes) => recipes,
        Err(error) => return cases.run("losses", "loss", |_| Err(error)),
    };
    for (at, entry) in recipes.iter().enumerate() {
        let name = entry.text("recipe").unwrap_or("?");
        let title = format!("losses.{at}.{name}");
        match Losses::read(folder, entry) {
            Ok(losses) => losses.cases(&title, cases),
            Err(error) => cases.run(&title, "loss", |_| Err(error)),
        }
    }
}

/// One recipe's file and index entry.
struct Losses<'a> {
    recipe: Recipe,
    shape: SequenceShape,
    values: Vec<(&'a str, Node<'a>)>,
    aux: Option<Node<'a>>,
    arrays: ArrayMap,
}

struct Batch {
    logits: Vec<f32>,
    x0: Vec<i32>,
    zt: Vec<i32>,
    times: Vec<f32>,
}

impl<'a> Losses<'a> {
    fn read(folder: &Folder, entry: &Node<'a>) -> Result<Self, CaseError> {
        let loss = entry.get("loss")?;
        let shape = SequenceShape {
            batch: loss.size("B")?,
            length: loss.size("L")?,
            actions: loss.size("action_dim")?,
        };
        let tokens = [("mask_token", shape.mask()), ("pad_token", shape.pad())];
        for (key, ours) in tokens {
            if let Some(theirs) = loss.find(key)
                && theirs.as_integer()? != i64::from(ours)
            {
                return Err(theirs.wrong("action_dim for MASK and action_dim + 1 for PAD"));
            }
        }
        Ok(Self {
            recipe: recipe(entry.text("recipe")?)?,
            shape,
            values: loss.get("values")?.entries(),
            aux: entry.find("aux"),
            arrays: folder.arrays(loss.text("file")?)?,
        })
    }

    fn cases(&self, title: &str, cases: &mut Cases) {
        let schedules: std::collections::BTreeSet<&str> = (self.values.iter())
            .filter_map(|(name, _)| name.split('.').next())
            .collect();
        for name in schedules {
            let case = format!("{title}.{name}.zt");
            cases.run(&case, "masking", |checks| self.masking(name, checks));
        }
        for (name, value) in &self.values {
            let case = format!("{title}.{name}");
            if let Some(schedule) = name.strip_suffix(".nothing_masked") {
                cases.run(&case, "loss", |checks| {
                    self.nothing(schedule, value, checks)
                });
                continue;
            }
            cases.run(&case, "loss", |checks| self.value(name, value, checks));
            cases.run(&case, "loss-gradient", |checks| self.gradient(name, checks));
        }
        if let Some(aux) = &self.aux {
            let case = format!("{title}.aux");
            cases.run(&case, "goal-loss", |checks| self.goal(aux, checks));
        }
    }

    fn batch(&self, schedule: &str) -> Result<Batch, CaseError> {
        let SequenceShape {
            batch,
            length,
            actions,
        } = self.shape;
        let arrays = &self.arrays;
        Ok(Batch {
            logits: arrays.expect_f32("logits", &[batch, length, actions])?,
            x0: arrays.expect_i32("x0", &[batch, length])?,
            zt: arrays.expect_i32(&format!("{schedule}.zt"), &[batch, length])?,
            times: arrays.expect_f32("t", &[batch])?,
        })
    }

    fn output(&self, name: &str) -> Result<(LossConfig, DiffusionLossOutput), CaseError> {
        let (schedule, config) = parse(self.recipe, name)?;
        let batch = self.batch(schedule)?;
        Ok((config, self.compute(&config, &batch, &batch.zt)?))
    }

    fn compute(
        &self,
        config: &LossConfig,
        batch: &Batch,
        zt: &[i32],
    ) -> Result<DiffusionLossOutput, CaseError> {
        let batch = DiffusionBatch {
            shape: self.shape,
            logits: &batch.logits,
            x0: &batch.x0,
            zt,
            times: &batch.times,
        };
        Ok(diffusion_loss(config, &batch)?)
    }

    /// The recorded draws mask what they should. The reference may mask one more action a sample by
    /// hand, to meet the clip of the weight at times where the draws mask none.
    fn masking(&self, name: &str, checks: &mut Checks) -> Result<(), CaseError> {
        let batch = self.batch(name)?;
        let schedule = schedule(self.recipe, name)?;
        let shape = self.shape;
        let draws = self
            .arrays
            .expect_f32("u_mask", &[shape.batch, shape.length])?;
        let mut masked = forward_mask(shape, schedule, &batch.x0, &batch.times, &draws)?;
        let mut by_hand = 0;
        let rows = masked
            .chunks_mut(shape.length.max(1))
            .zip(batch.zt.chunks(shape.length.max(1)));
        for (found, expected) in rows {
            let extra = (found.iter_mut().zip(expected)).find(|(found, expected)| {
                **expected == shape.mask() && (0..shape.mask()).contains(*found)
            });
            if let Some((found, &expected)) = extra {
                *found = expected;
                by_hand += 1;
            }
        }
        checks.equal(&format!("{name}.zt"), &masked, &batch.zt);
        if by_hand > 0 {
            checks.remark(format!("{by_hand} tokens masked beyond the draws"));
        }
        Ok(())
    }

    fn value(&self, name: &str, value: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
        let (config, output) = self.output(name)?;
        let expected = [value.as_number()?];
        let tolerance = tolerance(&config);
        checks.close_to_scale("loss", &[output.value], &expected, tolerance);
        let samples = format!("{name}.per_sample");
        if self.arrays.contains(&samples) {
            let (_, expected) = numbers(&self.arrays, &samples)?;
            checks.close_to_scale("per_sample", &output.per_sample, &expected, tolerance);
        }
        Ok(())
    }

    fn gradient(&self, name: &str, checks: &mut Checks) -> Result<(), CaseError> {
        let (config, output) = self.output(name)?;
        let (_, expected) = numbers(&self.arrays, &format!("{name}.grad"))?;
        let found = wide(&output.gradient);
        checks.close_to_scale("gradient", &found, &expected, tolerance(&config));
        Ok(())
    }

    /// With nothing masked, every loss of the recipe is exactly zero, and so is its gradient.
    fn nothing(&self, name: &str, value: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
        let schedule = schedule(self.recipe, name)?;
        let batch = self.batch(name)?;
        let kinds: &[DiffusionLoss] = match self.recipe {
            Recipe::R1 => &[
                DiffusionLoss::Flat,
                DiffusionLoss::Subs(AlphaPrime::Analytic),
                DiffusionLoss::Subs(AlphaPrime::DifferenceF32),
            ],
            Recipe::R2 => &[DiffusionLoss::Nelbo],
        };
        for &loss in kinds {
            let config = LossConfig {
                loss,
                schedule,
                label_smoothing: 0.0,
                weight_clip: 1000.0,
            };
            let output = self.compute(&config, &batch, &batch.x0)?;
            checks.equal("loss", &[output.value], &[value.as_number()?]);
            let zeros = vec![0.0; output.gradient.len()];
            checks.equal("gradient", &output.gradient, &zeros);
        }
        Ok(())
    }

    fn goal(&self, aux: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
        let (shape, glyphs) = integers(&self.arrays, "aux.global_obs")?;
        let [count, rows, cols] = shape[..] else {
            return Err(CaseError::Engine(format!(
                "aux.global_obs: expected [N, rows, columns], found {shape:?}"
            )));
        };
        let targets: Result<Vec<Option<[f32; 2]>>, CaseError> = (glyphs
            .chunks((rows * cols).max(1)))
        .map(|glyphs| {
            let map = Grid::new(glyphs, rows, cols)?;
            Ok(staircase_target(&map, StaircaseGlyphs::Original))
        })
        .collect();
        let targets = targets?;
        let flat: Vec<f64> = targets
            .iter()
            .flat_map(|target| target.unwrap_or([-1.0; 2]).map(f64::from))
            .collect();
        let (_, expected) = numbers(&self.arrays, "aux.target")?;
        checks.close("target", &flat, &expected, 1e-6);
        let predictions = self.arrays.expect_f32("aux.goal_pred", &[count, 2])?;
        let output = goal_loss(&predictions, &targets)?;
        checks.close_to_scale("loss", &[output.value], &[aux.number("loss")?], TOLERANCE);
        let (_, expected) = numbers(&self.arrays, "aux.grad")?;
        checks.close_to_scale("gradient", &wide(&output.gradient), &expected, TOLERANCE);
        if let Some(none) = aux.find("loss_none_visible") {
            let unseen = goal_loss(&predictions, &vec![None; count])?;
            checks.equal("loss_none_visible", &[unseen.value], &[none.as_number()?]);
        }
        Ok(())
    }
}

fn tolerance(config: &LossConfig) -> f64 {
    let rounded = config.loss == DiffusionLoss::Subs(AlphaPrime::DifferenceF32);
    if rounded && config.schedule != NoiseSchedule::Linear {
        QUOTIENT_TOLERANCE
    } else {
        TOLERANCE
    }
}

/// Schedule and settings that a name spells, such as `cosine.subs.ls0.1.clip5.analytic_alpha_prime`.
fn parse(recipe: Recipe, name: &str) -> Result<(&str, LossConfig), CaseError> {
    let unknown = || CaseError::Unsupported(format!("unknown loss {name:?}"));
    let (schedule_name, rest) = name.split_once('.').ok_or_else(unknown)?;
    let (kind, rest) = rest.split_once(".ls").ok_or_else(unknown)?;
    let (smoothing, rest) = rest.split_once(".clip").ok_or_else(unknown)?;
    let (clip, analytic) = match rest.strip_suffix(".analytic_alpha_prime") {
        Some(clip) => (clip, true),
        None => (rest, false),
    };
    let loss = match (kind, analytic) {
        ("flat", _) => DiffusionLoss::Flat,
        ("subs", true) => DiffusionLoss::Subs(AlphaPrime::Analytic),
        ("subs", false) => DiffusionLoss::Subs(AlphaPrime::DifferenceF32),
        ("nelbo", _) => DiffusionLoss::Nelbo,
        _ => return Err(unknown()),
    };
    let config = LossConfig {
        loss,
        schedule: schedule(recipe, schedule_name)?,
        label_smoothing: smoothing.parse().map_err(|_| unknown())?,
        weight_clip: clip.parse().map_err(|_| unknown())?,
    };
    Ok((schedule_name, config))
}
