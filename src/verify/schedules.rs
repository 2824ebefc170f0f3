//! `schedules`: alpha and its derivative over a grid of times, by recipe and schedule name.

use std::collections::BTreeSet;

use super::checks::{CaseError, Cases, Checks};
use super::folder::{Folder, Node, numbers, wide};
use crate::formats::ArrayMap;
use crate::samplers::schedule::{NoiseSchedule, Recipe};

/// Rounding of f32 alphas and of their derivative, which is at most pi / 2.
const F32: f64 = 1e-6;
/// Rounding of the f64 difference quotient: 1e-16 by 2e-5, with a hundredfold margin.
const F64_QUOTIENT: f64 = 1e-9;
/// The f32 difference quotient divides a unit in the last place of alpha (6e-8) by 2e-5; cosines
/// of different libraries are a unit apart, their squares up to three.
const F32_QUOTIENT: f64 = 3.01 * 6e-8 / 2e-5;

/// The recipe that `r1`, `R1` and the like mean.
pub(super) fn recipe(name: &str) -> Result<Recipe, CaseError> {
    match name.to_ascii_uppercase().as_str() {
        "R1" => Ok(Recipe::R1),
        "R2" => Ok(Recipe::R2),
        _ => Err(CaseError::Unsupported(format!("unknown recipe {name:?}"))),
    }
}

/// A schedule by name; a name that the recipe does not have is not known to the engine.
pub(super) fn schedule(recipe: Recipe, name: &str) -> Result<NoiseSchedule, CaseError> {
    NoiseSchedule::from_name(recipe, name)
        .map_err(|error| CaseError::Unsupported(error.to_string()))
}

pub(super) fn run(folder: &Folder, schedules: &Node<'_>, cases: &mut Cases) {
    for (key, file) in schedules.entries() {
        let read = file.as_text().and_then(|file| folder.arrays(file));
        let arrays = match read {
            Ok(arrays) => arrays,
            Err(error) => {
                cases.run(&format!("schedules.{key}"), "schedule", |_| Err(error));
                continue;
            }
        };
        let names: BTreeSet<String> = arrays
            .names()
            .filter_map(|name| {
                name.split_once('.')
                    .map(|(schedule, _)| schedule.to_owned())
            })
            .collect();
        if names.is_empty() {
            let nothing = |_: &mut Checks| Ok(());
            cases.run(&format!("schedules.{key}"), "schedule", nothing);
        }
        for name in names {
            let title = format!("schedules.{key}.{name}");
            cases.run(&title, "schedule", |checks| {
                one(&arrays, key, &name, checks)
            });
        }
    }
}

fn one(arrays: &ArrayMap, key: &str, name: &str, checks: &mut Checks) -> Result<(), CaseError> {
    let schedule = schedule(recipe(key)?, name)?;
    let (_, times) = numbers(arrays, "t")?;
    let narrow: Vec<f32> = times.iter().map(|&t| t as f32).collect();
    let single = |f: &dyn Fn(f32) -> f32| wide(&narrow.iter().map(|&t| f(t)).collect::<Vec<_>>());
    let double = |f: &dyn Fn(f64) -> f64| times.iter().map(|&t| f(t)).collect::<Vec<_>>();
    let start = format!("{name}.");
    let kinds: Vec<&str> = arrays
        .names()
        .filter_map(|tensor| tensor.strip_prefix(&start))
        .collect();
    for kind in kinds {
        let tensor = format!("{start}{kind}");
        let (_, expected) = numbers(arrays, &tensor)?;
        match kind {
            "alpha" => {
                checks.close(&tensor, &single(&|t| schedule.alpha_f32(t)), &expected, F32);
                checks.close(&tensor, &double(&|t| schedule.alpha(t)), &expected, F32);
            }
            "alpha_prime" => {
                let found = single(&|t| schedule.alpha_prime_f32(t));
                checks.close(&tensor, &found, &expected, F32);
                let found = double(&|t| schedule.alpha_prime(t));
                checks.close(&tensor, &found, &expected, F32);
            }
            "alpha_prime_numeric_f32" => {
                let found = single(&|t| schedule.alpha_prime_difference_f32(t));
                // Sums and differences alone round the same way everywhere.
                let exact = schedule == NoiseSchedule::Linear;
                let tolerance = if exact { F32 } else { F32_QUOTIENT };
                checks.close(&tensor, &found, &expected, tolerance);
            }
            "alpha_prime_numeric_f64" => {
                let found = double(&|t| schedule.alpha_prime_difference(t));
                checks.close(&tensor, &found, &expected, F64_QUOTIENT);
            }
            _ => return Err(CaseError::Unsupported(format!("unknown tensor {tensor}"))),
        }
    }
    Ok(())
}
