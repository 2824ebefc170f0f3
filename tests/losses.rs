//! Schedules, masking and losses against the original code's reference values.

mod goldens;

use attractor::samplers::schedule::{NoiseSchedule, Recipe};
use attractor::training::losses::{
    AlphaPrime, DiffusionBatch, DiffusionLoss, DiffusionLossOutput, LossConfig, LossError,
    SequenceShape, diffusion_loss, forward_mask, goal_loss, training_time,
};
use goldens::{Goldens, index};

const SHAPE: SequenceShape = SequenceShape {
    batch: 6,
    length: 64,
    actions: 12,
};

/// The reference is f32 throughout, so it is itself off by a few units in the last place.
const TOLERANCE: f64 = 1e-6;

fn units_apart(a: f32, b: f32) -> u32 {
    let ordered = |value: f32| {
        let bits = value.to_bits() as i32;
        if bits < 0 {
            i32::MIN.wrapping_sub(bits)
        } else {
            bits
        }
    };
    ordered(a).abs_diff(ordered(b))
}

fn assert_units(what: &str, times: &[f32], expected: &[f32], f: impl Fn(f32) -> f32) {
    assert_eq!(times.len(), expected.len());
    for (&t, &expected) in times.iter().zip(expected) {
        let apart = units_apart(f(t), expected);
        // The vectorised cosine of the original is itself off by a unit, and squaring doubles that.
        assert!(
            apart <= 3,
            "{what} at {t}: {} and {expected}, {apart} units",
            f(t)
        );
    }
}

#[test]
fn schedules_of_the_first_recipe() {
    let goldens = Goldens::open("schedules_r1.safetensors");
    let times = goldens.f32("t");
    for name in ["linear", "cosine"] {
        let schedule = NoiseSchedule::from_name(Recipe::R1, name).unwrap();
        let alpha = goldens.f32(&format!("{name}.alpha"));
        assert_units(name, &times, &alpha, |t| schedule.alpha_f32(t));
        let rounded = goldens.f32(&format!("{name}.alpha_prime_numeric_f32"));
        let exact = goldens.f64(&format!("{name}.alpha_prime_numeric_f64"));
        for (index, &t) in times.iter().enumerate() {
            let single = schedule.alpha_prime_difference_f32(t);
            // The cosines may be a unit apart, their squares two or three; the quotient divides a
            // unit in the last place of alpha by twice the step.
            let unit = f32::EPSILON / 2.0 / 2e-5;
            let allowed = if name == "linear" { 0.0 } else { 3.01 * unit };
            let error = (single - rounded[index]).abs();
            assert!(
                error <= allowed,
                "{name} at {t}: {single} and {}",
                rounded[index]
            );
            let double = schedule.alpha_prime_difference(f64::from(t));
            assert!(
                (double - exact[index]).abs() < 1e-9,
                "{name} at {t}: {double}"
            );
        }
    }
}

#[test]
fn schedules_of_the_second_recipe() {
    let goldens = Goldens::open("schedules_r2.safetensors");
    let times = goldens.f32("t");
    for name in ["linear", "cosine", "cosine_sq"] {
        let schedule = NoiseSchedule::from_name(Recipe::R2, name).unwrap();
        let alpha = goldens.f32(&format!("{name}.alpha"));
        assert_units(name, &times, &alpha, |t| schedule.alpha_f32(t));
        let slope = goldens.f32(&format!("{name}.alpha_prime"));
        assert_units(name, &times, &slope, |t| schedule.alpha_prime_f32(t));
        for ((&t, &alpha), &slope) in times.iter().zip(&alpha).zip(&slope) {
            let t = f64::from(t);
            assert!((schedule.alpha(t) - f64::from(alpha)).abs() < 1e-7);
            assert!((schedule.alpha_prime(t) - f64::from(slope)).abs() < 3e-7);
        }
    }
}

/// The schedule and settings that a golden's name spells, such as `cosine.subs.ls0.1.clip5`.
fn parse(recipe: Recipe, name: &str) -> LossConfig {
    let (schedule, rest) = name.split_once('.').unwrap();
    let (kind, rest) = rest.split_once(".ls").unwrap();
    let (smoothing, rest) = rest.split_once(".clip").unwrap();
    let (clip, analytic) = match rest.split_once('.') {
        Some((clip, "analytic_alpha_prime")) => (clip, true),
        None => (rest, false),
        Some(other) => panic!("{other:?}"),
    };
    LossConfig {
        loss: match (kind, analytic) {
            ("flat", false) => DiffusionLoss::Flat,
            ("subs", true) => DiffusionLoss::Subs(AlphaPrime::Analytic),
            ("subs", false) => DiffusionLoss::Subs(AlphaPrime::DifferenceF32),
            ("nelbo", false) => DiffusionLoss::Nelbo,
            other => panic!("{other:?}"),
        },
        schedule: NoiseSchedule::from_name(recipe, schedule).unwrap(),
        label_smoothing: smoothing.parse().unwrap(),
        weight_clip: clip.parse().unwrap(),
    }
}

/// Largest difference relative to the largest entry.
fn relative(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
    let difference = (found.iter().zip(expected)).fold(0.0_f32, |a, (x, y)| a.max((x - y).abs()));
    f64::from(difference) / f64::from(largest)
}

fn check_losses(recipe: Recipe, file: &str, expected_cases: usize) {
    let goldens = Goldens::open(file);
    let (x0, times) = (goldens.i32("x0"), goldens.f32("t"));
    let (logits, uniforms) = (goldens.f32("logits"), goldens.f32("u_mask"));
    let index = index();
    let recipes = index["losses"].as_array().unwrap();
    let label = format!("{recipe:?}");
    let entry = recipes
        .iter()
        .find(|entry| entry["recipe"] == label)
        .unwrap();
    let mut cases = 0;
    for (name, value) in entry["loss"]["values"].as_object().unwrap() {
        let schedule = name.split('.').next().unwrap();
        let value = value.as_f64().unwrap();
        let zt = goldens.i32(&format!("{schedule}.zt"));
        if name.ends_with("nothing_masked") {
            assert_eq!(value, 0.0);
            continue;
        }
        let config = parse(recipe, name);
        let masked = forward_mask(SHAPE, config.schedule, &x0, &times, &uniforms).unwrap();
        let differing: Vec<usize> = (0..zt.len()).filter(|&at| masked[at] != zt[at]).collect();
        // The reference for the linear schedule masks one more token by hand in the samples with
        // t = 1e-5 and t = 5e-4, where the draws mask none, so that the weight's clip is met.
        let by_hand: &[usize] = if schedule == "linear" {
            &[5, 4 * 64 + 9]
        } else {
            &[]
        };
        assert_eq!(differing, by_hand, "{name}");
        assert!(by_hand.iter().all(|&at| zt[at] == SHAPE.mask()));
        let output = run(&config, &logits, &x0, &zt, &times).unwrap();
        let error = (output.value / value - 1.0).abs();
        assert!(error < TOLERANCE, "{name}: {} and {value}", output.value);
        let gradient = goldens.f32(&format!("{name}.grad"));
        let error = relative(&output.gradient, &gradient);
        assert!(error < TOLERANCE, "{name}: gradient off by {error}");
        if config.loss == DiffusionLoss::Nelbo {
            let expected = goldens.f32(&format!("{name}.per_sample"));
            let found: Vec<f32> = output.per_sample.iter().map(|&v| v as f32).collect();
            assert!(relative(&found, &expected) < TOLERANCE, "{name}: {found:?}");
        }
        let nothing = run(&config, &logits, &x0, &x0, &times).unwrap();
        assert_eq!((nothing.value, nothing.masked), (0.0, 0));
        assert!(nothing.gradient.iter().all(|&slope| slope == 0.0));
        cases += 1;
    }
    let gradients = goldens
        .names()
        .iter()
        .filter(|name| name.ends_with(".grad"))
        .count();
    assert_eq!((cases, gradients), (expected_cases, expected_cases + 1));
}

fn run(
    config: &LossConfig,
    logits: &[f32],
    x0: &[i32],
    zt: &[i32],
    times: &[f32],
) -> Result<DiffusionLossOutput, LossError> {
    let batch = DiffusionBatch {
        shape: SHAPE,
        logits,
        x0,
        zt,
        times,
    };
    diffusion_loss(config, &batch)
}

#[test]
fn losses_of_the_first_recipe() {
    check_losses(Recipe::R1, "loss_r1.safetensors", 20);
}

#[test]
fn losses_of_the_second_recipe() {
    check_losses(Recipe::R2, "loss_r2.safetensors", 12);
}

#[test]
fn goal_losses() {
    for (file, entry) in [("loss_r1.safetensors", 0), ("loss_r2.safetensors", 1)] {
        let goldens = Goldens::open(file);
        let predictions = goldens.f32("aux.goal_pred");
        let targets: Vec<Option<[f32; 2]>> = (goldens.f32("aux.target").chunks(2))
            .map(|target| (target[0] >= 0.0).then_some([target[0], target[1]]))
            .collect();
        let output = goal_loss(&predictions, &targets).unwrap();
        let aux = &index()["losses"][entry]["aux"];
        let expected = aux["loss"].as_f64().unwrap();
        assert!(
            (output.value / expected - 1.0).abs() < 1e-6,
            "{}",
            output.value
        );
        assert!(relative(&output.gradient, &goldens.f32("aux.grad")) < 1e-6);
        let unseen = goal_loss(&predictions, &vec![None; targets.len()]).unwrap();
        assert_eq!(unseen.value, aux["loss_none_visible"].as_f64().unwrap());
        assert!(unseen.gradient.iter().all(|&slope| slope == 0.0));
    }
}

#[test]
fn gradients_match_finite_differences() {
    let goldens = Goldens::open("loss_r2.safetensors");
    let (x0, zt) = (goldens.i32("x0"), goldens.i32("linear.zt"));
    // Times of moderate weight, so that differences of f32 logits resolve the slope.
    let times = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
    let logits = goldens.f32("logits");
    let derivative = AlphaPrime::Analytic;
    for loss in [
        DiffusionLoss::Flat,
        DiffusionLoss::Subs(derivative),
        DiffusionLoss::Nelbo,
    ] {
        let config = LossConfig {
            loss,
            schedule: NoiseSchedule::CosineSquared,
            label_smoothing: 0.1,
            weight_clip: 1000.0,
        };
        let gradient = run(&config, &logits, &x0, &zt, &times).unwrap().gradient;
        let largest = gradient.iter().fold(0.0_f32, |a, b| a.max(b.abs()));
        let mut probed = 0;
        for at in (0..logits.len())
            .filter(|&at| gradient[at].abs() > 0.001 * largest)
            .step_by(11)
        {
            let shifted = |amount: f32| {
                let mut logits = logits.clone();
                logits[at] += amount;
                let value = run(&config, &logits, &x0, &zt, &times).unwrap().value;
                (value, f64::from(logits[at]))
            };
            let (up, down) = (shifted(1e-3), shifted(-1e-3));
            let slope = (up.0 - down.0) / (up.1 - down.1);
            let error = (slope / f64::from(gradient[at]) - 1.0).abs();
            assert!(
                error < 1e-4,
                "{loss:?} at {at}: {slope} and {}",
                gradient[at]
            );
            probed += 1;
        }
        assert!(probed > 10);
    }
}

#[test]
fn bad_inputs_are_named() {
    let shape = SequenceShape {
        batch: 1,
        length: 2,
        actions: 2,
    };
    let config = LossConfig {
        loss: DiffusionLoss::Nelbo,
        schedule: NoiseSchedule::Linear,
        label_smoothing: 0.0,
        weight_clip: 1000.0,
    };
    let run = |config: &LossConfig, logits: &[f32], x0: &[i32], zt: &[i32], times: &[f32]| {
        let batch = DiffusionBatch {
            shape,
            logits,
            x0,
            zt,
            times,
        };
        diffusion_loss(config, &batch)
    };
    let fine = [0.0, 1.0, 2.0, 3.0];
    assert!(run(&config, &fine, &[0, 3], &[2, 3], &[0.5]).is_ok());
    let token = run(&config, &fine, &[0, 2], &[2, 3], &[0.5]).unwrap_err();
    assert_eq!(
        token.to_string(),
        "x0, sample 0, position 1: token 2 is out of range"
    );
    assert!(run(&config, &fine, &[0, 3], &[2, 4], &[0.5]).is_err());
    assert!(run(&config, &fine[..3], &[0, 3], &[2, 3], &[0.5]).is_err());
    assert!(run(&config, &fine, &[0, 3], &[2, 3], &[f32::NAN]).is_err());
    let broken = [f32::NAN, 0.0, 0.0, 0.0];
    let error = run(&config, &broken, &[0, 3], &[2, 3], &[0.5]).unwrap_err();
    let expected = LossError::NotFinite {
        tensor: "loss",
        sample: 0,
    };
    assert_eq!(error, expected);
    let smoothed = LossConfig {
        label_smoothing: 1.5,
        ..config
    };
    assert!(run(&smoothed, &fine, &[0, 3], &[2, 3], &[0.5]).is_err());
    let forbidden = [f32::NEG_INFINITY, 0.0, 0.0, 0.0];
    let output = run(&config, &forbidden, &[1, 3], &[2, 3], &[0.5]).unwrap();
    assert_eq!((output.value, output.masked), (0.0, 1));
    assert!(forward_mask(shape, config.schedule, &[0, 1], &[0.5], &[0.5]).is_err());
    assert!(goal_loss(&[0.0; 3], &[None]).is_err());
    assert!(goal_loss(&[f32::NAN, 0.0], &[Some([0.0; 2])]).is_err());
    assert_eq!([0.0, 1.0].map(training_time), [1e-5, 0.999_99]);
}
