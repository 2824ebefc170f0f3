//! Training on the device: against the reference's courses, the same in any batch, and refused where it cannot
//! be done.

mod common;

use attractor::device::Device;
use attractor::formats::{ArrayMap, load_arrays};
use attractor::training::TrainingError;
use attractor::training::mlp::{MlpParameters, Recipe, TrainedModel, predict, train};
use common::values;
use std::path::Path;

fn goldens() -> ArrayMap {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/worldmodel");
    load_arrays(data.join("maze_cells_default.safetensors")).unwrap()
}

fn floats(map: &ArrayMap, name: &str) -> Vec<f32> {
    let wide = map.get(name).unwrap().to_f64().unwrap();
    wide.into_iter().map(|value| value as f32).collect()
}

fn initial(map: &ArrayMap) -> Vec<MlpParameters> {
    let of = |seed| MlpParameters::read(map, &format!("init_s{seed}_h32.net")).unwrap();
    (0..3).map(of).collect()
}

fn maze(device: &Device, epochs: &[u32]) -> Vec<TrainedModel> {
    let map = goldens();
    let (inputs, targets) = (floats(&map, "train_inputs"), floats(&map, "train_targets"));
    let recipe = Recipe::adam(1e-2, epochs);
    train(device, &initial(&map), &inputs, &targets, &recipe).unwrap()
}

/// Largest difference of two models' numbers.
fn apart(a: &MlpParameters, b: &MlpParameters) -> f64 {
    let numbers = |model: &MlpParameters| -> Vec<f64> {
        let layers = model.layers.iter();
        layers
            .flat_map(|l| [&l.weight[..], &l.bias[..]].concat())
            .collect()
    };
    let (a, b) = (numbers(a), numbers(b));
    assert_eq!(a.len(), b.len());
    let pairs = a.iter().zip(&b);
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
}

/// Holds the first 64 epochs of every seed against the reference.
fn follows_the_reference(device: &Device) {
    let map = goldens();
    for (seed, model) in maze(device, &[2, 16, 64]).iter().enumerate() {
        let gradient = MlpParameters::read(&map, &format!("grad0_s{seed}_h32.net")).unwrap();
        assert!(apart(&model.first_gradient, &gradient) < 1e-7);
        assert_eq!(model.losses.len(), 64);
        for (snapshot, epochs) in model.snapshots.iter().zip([2u32, 16, 64]) {
            assert_eq!(snapshot.epochs, epochs);
            let cell = format!("e{epochs}_s{seed}_h32");
            let weights = MlpParameters::read(&map, &format!("{cell}.final.net")).unwrap();
            assert!(apart(&snapshot.parameters, &weights) < 1e-4, "{cell}");
            let predictions = map.get(&format!("{cell}.pred")).unwrap().to_f64().unwrap();
            for (found, expected) in snapshot.predictions.iter().zip(&predictions) {
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{cell}: {found} {expected}"
                );
            }
            let losses = map.get(&format!("{cell}.loss")).unwrap().to_f64().unwrap();
            for (found, expected) in model.losses.iter().zip(&losses) {
                assert!(
                    (found / expected - 1.0).abs() < 1e-3,
                    "{cell}: {found} {expected}"
                );
            }
        }
    }
}

#[test]
fn the_processor_follows_the_reference() {
    follows_the_reference(&Device::cpu());
    follows_the_reference(&Device::cpu_f64());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn the_gpu_follows_the_reference() {
    follows_the_reference(&common::gpu());
}

/// Data and models of odd sizes: 13 rows, and a last layer of one number.
fn odd(models: u32) -> (Vec<MlpParameters>, Vec<f32>, Vec<f32>) {
    let model = |index| MlpParameters::uniform(&[5, 7, 3, 1], 9, index).unwrap();
    (
        (0..models).map(model).collect(),
        values(65, 1),
        values(13, 2),
    )
}

fn is_the_same_in_any_batch(device: &Device) {
    let (models, inputs, targets) = odd(5);
    let recipe = Recipe::adam(0.02, &[1, 3, 20]);
    let together = train(device, &models, &inputs, &targets, &recipe).unwrap();
    let again = train(device, &models, &inputs, &targets, &recipe).unwrap();
    assert_eq!(together, again);
    for (index, model) in models.iter().enumerate() {
        let own = std::slice::from_ref(model);
        let alone = train(device, own, &inputs, &targets, &recipe).unwrap();
        assert_eq!(alone[0], together[index], "model {index}");
    }
    // What is kept on the way does not change the course.
    let recipe = Recipe::adam(0.02, &[20]);
    let through = train(device, &models, &inputs, &targets, &recipe).unwrap();
    assert_eq!(through[4].snapshots[0], together[4].snapshots[2]);
    assert!(together[0].losses[19] < together[0].losses[0]);
}

#[test]
fn a_course_is_the_same_in_any_batch() {
    is_the_same_in_any_batch(&Device::cpu());
    is_the_same_in_any_batch(&Device::cpu_f64());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn a_course_is_the_same_in_any_batch_on_a_gpu() {
    is_the_same_in_any_batch(&common::gpu());
}

/// Adam by hand: a model of one weight and one bias on one row.
#[test]
fn one_number_follows_the_formulas() {
    let mut model = MlpParameters::uniform(&[1, 1], 1, 0).unwrap();
    let recipe = Recipe::adam(0.1, &[0, 3]);
    let device = Device::cpu_f64();
    let trained = train(&device, &[model.clone()], &[0.75], &[2.0], &recipe).unwrap();
    assert_eq!(trained[0].snapshots[0].parameters, model);
    let layer = &mut model.layers[0];
    let (mut m, mut v) = ([0.0; 2], [0.0; 2]);
    for t in 1..=3 {
        let error = layer.weight[0] * 0.75 + layer.bias[0] - 2.0;
        assert!((trained[0].losses[t - 1] - error * error).abs() < 1e-12);
        let places = [&mut layer.weight[0], &mut layer.bias[0]];
        for (i, place) in places.into_iter().enumerate() {
            let g = 2.0 * error * [0.75, 1.0][i];
            m[i] = 0.9 * m[i] + 0.1 * g;
            v[i] = 0.999 * v[i] + 0.001 * g * g;
            let (mean, square) = (
                m[i] / (1.0 - 0.9f64.powi(t as i32)),
                v[i] / (1.0 - 0.999f64.powi(t as i32)),
            );
            *place -= 0.1 * mean / (square.sqrt() + 1e-8);
        }
    }
    assert!(apart(&trained[0].snapshots[1].parameters, &model) < 1e-12);
}

#[test]
fn a_loss_without_bounds_is_named() {
    let (mut models, inputs, targets) = odd(3);
    models[2].layers[0].weight.fill(1e30);
    models[2].layers[1].weight.fill(1e30);
    let recipe = Recipe::adam(0.1, &[4]);
    let error = train(&Device::cpu(), &models, &inputs, &targets, &recipe);
    match error {
        Err(TrainingError::NotFinite {
            model: 2, epoch: 0, ..
        }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let (models, inputs, targets) = odd(2);
    let device = Device::cpu();
    let refuse =
        |models: &[MlpParameters], inputs: &[f32], targets: &[f32], epochs: &[u32], part: &str| {
            let recipe = Recipe::adam(0.1, epochs);
            let error = train(&device, models, inputs, targets, &recipe).unwrap_err();
            assert!(error.to_string().contains(part), "{error}");
        };
    refuse(&[], &inputs, &targets, &[1], "at least one");
    refuse(&models, &inputs[1..], &targets, &[1], "rows of 5");
    refuse(&models, &inputs, &targets[1..], &[1], "13 rows of 1");
    refuse(&models, &inputs, &targets, &[], "ascending");
    refuse(&models, &inputs, &targets, &[0], "at least 1");
    refuse(&models, &inputs, &targets, &[3, 3], "ascending");
    let mut other = models.clone();
    other[1] = MlpParameters::uniform(&[5, 4, 1], 9, 1).unwrap();
    refuse(&other, &inputs, &targets, &[1], "widths of model 0");
    let mut torn = models.clone();
    torn[1].layers[2].bias.push(0.0);
    refuse(&torn, &inputs, &targets, &[1], "model 1, layer 2");
    let recipe = Recipe {
        betas: (1.0, 0.999),
        ..Recipe::adam(0.1, &[1])
    };
    let error = train(&device, &models, &inputs, &targets, &recipe).unwrap_err();
    assert!(error.to_string().contains("beta1"), "{error}");
}

#[test]
fn first_weights_are_uniform_and_belong_to_their_model() {
    let model = MlpParameters::uniform(&[64, 200, 3], 5, 7).unwrap();
    assert_eq!(model.widths(), [64, 200, 3]);
    assert_eq!(model.count(), 64 * 200 + 200 + 600 + 3);
    assert_eq!(MlpParameters::uniform(&[64, 200, 3], 5, 7).unwrap(), model);
    assert_ne!(MlpParameters::uniform(&[64, 200, 3], 5, 8).unwrap(), model);
    assert_ne!(MlpParameters::uniform(&[64, 200, 3], 6, 7).unwrap(), model);
    let weight = &model.layers[0].weight;
    let count = weight.len() as f64;
    let mean = weight.iter().sum::<f64>() / count;
    let square = weight.iter().map(|w| w * w).sum::<f64>() / count;
    let bound = 1.0 / 8.0;
    // Four standard errors.
    assert!(mean.abs() < 4.0 * bound / (3.0 * count).sqrt());
    assert!((square / (bound * bound / 3.0) - 1.0).abs() < 4.0 * (0.8 / count).sqrt());
    assert!(
        weight
            .iter()
            .all(|w| w.abs() <= bound && *w == f64::from(*w as f32))
    );
    assert!(MlpParameters::uniform(&[3], 1, 0).is_err());
    assert!(MlpParameters::uniform(&[3, 0, 1], 1, 0).is_err());
}

#[test]
fn parameters_go_to_a_state_dict_and_back() {
    let model = MlpParameters::uniform(&[5, 7, 3, 1], 3, 0).unwrap();
    let mut map = ArrayMap::new("state");
    model.write(&mut map, "net").unwrap();
    assert!(map.contains("net.4.bias"));
    assert_eq!(MlpParameters::read(&map, "net").unwrap(), model);
    assert!(MlpParameters::read(&map, "nets").is_err());
    map.take("net.2.bias").unwrap();
    let error = MlpParameters::read(&map, "net").unwrap_err();
    assert!(error.to_string().contains("net.2.bias"), "{error}");
}

#[test]
fn predictions_are_those_of_the_layers() {
    let (models, inputs, _) = odd(3);
    let found = predict(&Device::cpu_f64(), &models, &inputs).unwrap();
    for (model, found) in models.iter().zip(found) {
        for (row, found) in inputs.chunks(5).zip(found) {
            let mut x: Vec<f64> = row.iter().map(|v| f64::from(*v)).collect();
            for (place, layer) in model.layers.iter().enumerate() {
                let rows = layer.weight.chunks(layer.inputs).zip(&layer.bias);
                x = rows
                    .map(|(w, b)| b + w.iter().zip(&x).map(|(w, x)| w * x).sum::<f64>())
                    .map(|y| if place < 2 { y.max(0.0) } else { y })
                    .collect();
            }
            assert!((found - x[0]).abs() < 1e-14);
        }
    }
}
