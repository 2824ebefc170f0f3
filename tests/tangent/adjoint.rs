//! Adjoints against tangents, `<v, J u> = <J' v, u>`, and against differences, kernel by kernel and composed.

use crate::support::{Case, Contents, Runner, contents_of};
use crate::{common, linear, nonlinear, product};
use attractor::device::Device;
use attractor::graph::adjoint::{Adjoint, Seed};
use attractor::graph::tangent::Tangent;
use attractor::graph::{Graph, GraphError, Phase, TensorId, TensorKind};
use attractor_kernels::activation::Activate;
use attractor_kernels::adam::{Adam, AdamSettings};
use attractor_kernels::copy::CopyFloats;
use attractor_kernels::elementwise::{Elementwise, Operation};
use attractor_kernels::matmul::MatMul;
use attractor_kernels::mean_squared_error::MeanSquaredError;
use attractor_kernels::softmax::Softmax;
use attractor_kernels::{Access, Activation, AnyKernel};
use common::values;

/// Tensors that nodes write.
fn written(graph: &Graph) -> Vec<TensorId> {
    let mut ids = Vec::new();
    for node in graph.nodes() {
        let table = node.kernel.id().operands().iter();
        for (operand, id) in table.zip(&node.operands) {
            if let Some(id) = id.filter(|_| operand.access != Access::Read) {
                ids.push(id);
            }
        }
    }
    ids
}

/// What moves, and what is read.
struct Ends {
    from: Vec<TensorId>,
    to: Vec<TensorId>,
}

impl Ends {
    fn of(case: &Case) -> Self {
        let written = written(&case.graph);
        let is_written = |id: &TensorId| written.contains(id);
        let from = case.seeds.iter().copied().filter(|id| !is_written(id));
        let mut to: Vec<TensorId> = written.clone();
        to.retain(|id| case.graph.tensor(*id).kind.is_readable());
        to.dedup();
        Self {
            from: from.collect(),
            to,
        }
    }

    fn cotangent(&self, graph: &Graph, place: usize) -> Vec<f64> {
        let count = graph.tensor(self.to[place]).len();
        values(count, 900 + place as u64)
            .into_iter()
            .map(f64::from)
            .collect()
    }

    fn direction(&self, graph: &Graph, place: usize) -> Vec<f64> {
        let count = graph.tensor(self.from[place]).len();
        values(count, 700 + place as u64)
            .into_iter()
            .map(f64::from)
            .collect()
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn size(a: &[f64]) -> f64 {
    dot(a, a).sqrt()
}

/// `J' v` for every tensor that moves.
fn adjoints(case: &Case, ends: &Ends, device: &Device) -> Result<Vec<Vec<f64>>, GraphError> {
    let mut graph = case.graph.clone();
    let seeds: Vec<Seed> = (ends.to.iter().enumerate())
        .map(|(place, output)| {
            let shape = graph.tensor(*output).shape.clone();
            let name = format!("cotangent {place}");
            let cotangent = graph.float(name, &shape, TensorKind::State);
            Seed {
                output: *output,
                cotangent,
            }
        })
        .collect();
    let mut adjoint = Adjoint::new(&graph, &seeds, &ends.from)?;
    let found: Vec<_> = ends.from.iter().map(|id| adjoint.adjoint_of(*id)).collect();
    for id in found.iter().copied().flatten() {
        adjoint.graph_mut().keep(id);
    }
    let mut contents: Contents = contents_of(case);
    for (place, seed) in seeds.iter().enumerate() {
        contents.push((seed.cotangent, ends.cotangent(&graph, place)));
    }
    let mut runner = Runner::new(case, adjoint.finish(), device);
    let read: Vec<_> = found.iter().copied().flatten().collect();
    let poisoned = contents
        .iter()
        .map(|(id, numbers)| (*id, vec![f64::NAN; numbers.len()]))
        .collect();
    runner.run(&poisoned, &read);
    let mut moved = runner.run(&contents, &read).into_iter();
    let each = found.iter().zip(&ends.from);
    Ok(each
        .map(|(found, id)| match found {
            Some(_) => moved.next().expect("as many as were read"),
            None => vec![0.0; graph.tensor(*id).len()],
        })
        .collect())
}

/// `<v, J u>` by the graph with tangents.
fn by_tangents(case: &Case, ends: &Ends) -> f64 {
    let mut tangent = Tangent::between(&case.graph, 1, &ends.from, &ends.to).expect("tangents");
    tangent.advance(case.graph.nodes().len()).expect("tangents");
    let mut contents = contents_of(case);
    for (place, id) in ends.from.iter().enumerate() {
        let own = tangent.tangent_of(*id).expect("a seed");
        contents.push((own, ends.direction(&case.graph, place)));
    }
    let read: Vec<_> = ends.to.iter().map(|id| tangent.tangent_of(*id)).collect();
    let all: Vec<_> = read.iter().copied().flatten().collect();
    let moved = Runner::new(case, tangent.finish(), &Device::cpu_f64()).run(&contents, &all);
    let mut moved = moved.into_iter();
    let places = read.iter().enumerate().filter(|(_, id)| id.is_some());
    places
        .map(|(place, _)| {
            let own = moved.next().expect("as many as were read");
            dot(&ends.cotangent(&case.graph, place), &own)
        })
        .sum()
}

/// The same by central differences.
fn by_differences(case: &Case, ends: &Ends) -> f64 {
    let mut runner = Runner::new(case, case.graph.clone(), &Device::cpu_f64());
    let mut at = |distance: f64| -> f64 {
        let mut contents = contents_of(case);
        for (id, numbers) in &mut contents {
            if let Some(place) = ends.from.iter().position(|own| own == id) {
                let direction = ends.direction(&case.graph, place);
                let pairs = numbers.iter_mut().zip(direction);
                pairs.for_each(|(number, u)| *number += distance * u);
            }
        }
        let outputs = runner.run(&contents, &ends.to);
        let each = outputs.iter().enumerate();
        each.map(|(place, own)| dot(&ends.cotangent(&case.graph, place), own))
            .sum()
    };
    (at(case.distance) - at(-case.distance)) / (2.0 * case.distance)
}

/// Holds a case's adjoints against tangents and differences, and those of other devices against them.
fn check(case: &Case, devices: &[(&Device, f64)]) -> Result<(), GraphError> {
    let ends = Ends::of(case);
    let name = &case.name;
    let exact = adjoints(case, &ends, &Device::cpu_f64())?;
    let found: f64 = (exact.iter().enumerate())
        .map(|(place, own)| dot(own, &ends.direction(&case.graph, place)))
        .sum();
    let scale: f64 = 1.0
        + (exact.iter().enumerate())
            .map(|(place, own)| size(own) * size(&ends.direction(&case.graph, place)))
            .sum::<f64>();
    let (dual, slope) = (by_tangents(case, &ends), by_differences(case, &ends));
    assert!(
        (found - dual).abs() <= 1e-12 * scale,
        "{name}: {found}, tangents {dual}"
    );
    assert!(
        (found - slope).abs() <= 1e-6 * scale,
        "{name}: {found}, differences {slope}"
    );
    // A single number below zero has no slope under this one.
    let flat = name.starts_with("relu") && dual == 0.0;
    assert!(
        flat || exact.iter().flatten().any(|v| *v != 0.0),
        "{name}: nothing moves"
    );
    for (device, factor) in devices {
        let single = adjoints(case, &ends, device)?;
        for (place, (single, exact)) in single.iter().zip(&exact).enumerate() {
            let largest = exact.iter().fold(1.0, |kept: f64, v| kept.max(v.abs()));
            for (i, (a, b)) in single.iter().zip(exact).enumerate() {
                let near = (a - b).abs() <= case.tolerance * factor * largest;
                assert!(near, "{name}, tensor {place}[{i}]: {a}, expected {b}");
            }
        }
    }
    Ok(())
}

/// Checks all cases; gives the reasons of those that are refused.
fn check_all(cases: Vec<Case>, devices: &[(&Device, f64)]) -> (usize, Vec<String>) {
    let (mut held, mut refused) = (0, Vec::new());
    for case in cases {
        match check(&case, devices) {
            Ok(()) => held += 1,
            Err(error @ GraphError::Adjoint { .. }) => refused.push(error.to_string()),
            Err(error) => panic!("{}: {error}", case.name),
        }
    }
    (held, refused)
}

/// Losses of examples with targets of their own, or one for all; prediction and target move.
fn losses() -> Vec<Case> {
    let mut all = Vec::new();
    for (examples, count, shared) in [(1, 1, false), (3, 7, true), (2, 129, false), (5, 33, true)] {
        let mut case = Case::new(format!(
            "loss of {examples} examples of {count}, shared {shared}"
        ));
        let x = case.seed(&[examples as usize, count as usize]);
        let rows = if shared { 1 } else { examples as usize };
        let goal = case.seed(&[rows, count as usize]);
        let loss = case.out(&[examples as usize]);
        let kernel = MeanSquaredError {
            target_stride: if shared { 0 } else { count },
            ..MeanSquaredError::losses(examples, count)
        };
        case.push(kernel, &[Some(x), Some(goal), None, None, Some(loss)]);
        all.push(case);
    }
    all
}

/// Three models of two layers, a bias as a broadcast residual, a loss each: all parameters move.
fn network() -> Case {
    let mut case = Case::new("three perceptrons");
    case.tolerance = 1e-4;
    let (models, rows, [i, h, o]) = (3u32, 11u32, [5u32, 7, 2]);
    let x = case.seed(&[rows as usize, i as usize]);
    let goal = case.given(&[rows as usize, o as usize]);
    let layer = |case: &mut Case, x: TensorId, stride: u32, [from, to]: [u32; 2]| {
        let [m, k, n] = [models, from, to].map(|count| count as usize);
        let (weight, bias) = (case.seed(&[m, n, k]), case.seed(&[m, n]));
        let y = case.middle(&[m, rows as usize, n]);
        let product = MatMul {
            a_batch_stride: stride,
            residual_batch_stride: to,
            residual_row_stride: 0,
            flags: MatMul::RESIDUAL,
            ..MatMul::batched(models, rows, from, to, (false, true))
        };
        case.push(
            product,
            &[Some(x), Some(weight), None, Some(bias), None, Some(y)],
        );
        y
    };
    let y = layer(&mut case, x, 0, [i, h]);
    let z = case.middle(&[models as usize, rows as usize, h as usize]);
    case.node(Activate::of(Activation::RELU, models * rows * h), &[y, z]);
    let out = layer(&mut case, z, rows * h, [h, o]);
    let loss = case.out(&[models as usize]);
    let kernel = MeanSquaredError {
        target_stride: 0,
        ..MeanSquaredError::losses(models, rows * o)
    };
    case.push(kernel, &[Some(out), Some(goal), None, None, Some(loss)]);
    case
}

/// A tensor that several nodes read, one of them twice, and two that fill a third.
fn branches() -> Case {
    let mut case = Case::new("branches");
    let (x, w) = (case.seed(&[4, 6]), case.seed(&[6, 6]));
    let [y, square, both] = [24, 24, 48].map(|count| case.middle(&[count]));
    let product = MatMul::batched(1, 4, 6, 6, (false, true));
    case.push(product, &[Some(x), Some(w), None, None, None, Some(y)]);
    case.node(
        Elementwise::contiguous(Operation::MULTIPLY, 24),
        &[x, x, square],
    );
    let upper = CopyFloats {
        dst_offset: 24,
        ..CopyFloats::contiguous(24)
    };
    case.node(CopyFloats::contiguous(24), &[y, both]);
    case.node(upper, &[square, both]);
    // The same weights once more, on the other side.
    let out = case.out(&[8, 6]);
    let again = MatMul::batched(1, 8, 6, 6, (false, false));
    case.push(again, &[Some(both), Some(w), None, None, None, Some(out)]);
    case
}

fn all_agree(devices: &[(&Device, f64)]) {
    let (held, refused) = check_all(product::products(), devices);
    let known = |reason: &String| reason.contains("a gate without an adjoint");
    assert!(refused.iter().all(known), "{refused:#?}");
    // A third of the products have a gate that moves.
    assert!(held >= 100, "{held} {}", refused.len());
    let (held, refused) = check_all(nonlinear::activations(), devices);
    assert_eq!(
        (held, refused.len()),
        (3 * Activation::ALL.len(), 0),
        "{refused:#?}"
    );
    let (held, refused) = check_all(nonlinear::elementwise(), devices);
    let known = |reason: &String| reason.contains("no write after it was read");
    assert!(refused.iter().all(known), "{refused:#?}");
    assert!(held >= 8, "{held}");
    let (held, refused) = check_all(nonlinear::reductions(), devices);
    assert!(
        refused.iter().all(|r| r.contains("a sum or a mean")),
        "{refused:#?}"
    );
    assert!(held >= 4, "{held}");
    let (held, refused) = check_all(linear::copies(), devices);
    let step = |reason: &String| reason.contains("the same at every step");
    assert!(refused.iter().all(step), "{refused:#?}");
    assert!(held >= 2, "{held}");
    for case in losses().into_iter().chain([network(), branches()]) {
        let outcome = check(&case, devices);
        outcome.unwrap_or_else(|error| panic!("{}: {error}", case.name));
    }
}

#[test]
fn adjoints_are_dual_to_tangents() {
    all_agree(&[(&Device::cpu(), 1.0)]);
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn adjoints_are_the_same_on_a_gpu() {
    all_agree(&[(&common::gpu(), 2.0)]);
}

/// The tangents of the loss, for the coverage of kernels.
pub fn loss_tangents() -> Vec<Case> {
    losses()
}

/// Adam has no tangents: training is not differentiated.
pub fn step_of_adam() -> (Case, Vec<&'static str>) {
    let mut case = Case::new("a step of Adam");
    let (gradient, weight) = (case.seed(&[5]), case.seed(&[5]));
    let (m, v) = (case.seed(&[5]), case.seed(&[5]));
    let kernel = Adam::new(5, AdamSettings::new(0.1));
    case.node(kernel, &[gradient, weight, m, v]);
    (case, vec!["adam", "a kernel with a rule for tangents"])
}

fn refuse(case: &Case, seeds: &[Seed], wrt: &[TensorId], parts: &[&str]) {
    let error = Adjoint::new(&case.graph, seeds, wrt)
        .map(|_| ())
        .unwrap_err();
    let text = error.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

#[test]
fn what_has_no_adjoint_is_named() {
    let of = |output, cotangent| Seed { output, cotangent };
    let mut case = Case::new("softmax");
    let (x, y) = (case.seed(&[3, 4]), case.out(&[3, 4]));
    let (c, short) = (case.given(&[3, 4]), case.given(&[11]));
    case.node(Softmax::contiguous(3, 4), &[x, y]);
    refuse(
        &case,
        &[of(y, c)],
        &[x],
        &["softmax", "a rule for adjoints"],
    );
    refuse(
        &case,
        &[of(y, short)],
        &[x],
        &["12 real numbers", "11 elements"],
    );

    let mut case = Case::new("two phases");
    let (x, c) = (case.seed(&[4]), case.given(&[4]));
    let (y, z) = (case.middle(&[4]), case.out(&[4]));
    case.phase(Phase::Once);
    case.node(CopyFloats::contiguous(4), &[x, y]);
    case.phase(Phase::Step);
    case.node(Activate::of(Activation::TANH, 4), &[y, z]);
    refuse(&case, &[of(z, c)], &[x], &["phase"]);

    let mut case = Case::new("written twice");
    let (x, c) = (case.seed(&[4]), case.given(&[4]));
    let y = case.out(&[4]);
    case.node(CopyFloats::contiguous(4), &[x, y]);
    case.node(Activate::of(Activation::TANH, 3), &[x, y]);
    refuse(
        &case,
        &[of(y, c)],
        &[x],
        &["every element written once", "element 0"],
    );

    let mut case = Case::new("a value that is gone");
    let (x, c) = (case.seed(&[4]), case.given(&[4]));
    let y = case.out(&[4]);
    case.node(Activate::of(Activation::TANH, 4), &[x, y]);
    case.node(CopyFloats::contiguous(4), &[c, x]);
    refuse(&case, &[of(y, c)], &[x], &["no write after it was read"]);

    let mut case = Case::new("a history");
    let (x, c) = (case.seed(&[4]), case.given(&[8]));
    let y = case.out(&[8]);
    let history = CopyFloats {
        dst_step_stride: 4,
        ..CopyFloats::contiguous(4)
    };
    case.node(AnyKernel::from(history), &[x, y]);
    refuse(&case, &[of(y, c)], &[x], &["the same at every step"]);
}

/// What an output does not hang on has no adjoint.
#[test]
fn what_does_not_matter_has_none() {
    let mut case = Case::new("one of two");
    let (x, other, c) = (case.seed(&[4]), case.seed(&[4]), case.given(&[4]));
    let y = case.out(&[4]);
    case.node(Activate::of(Activation::TANH, 4), &[x, y]);
    let seed = Seed {
        output: y,
        cotangent: c,
    };
    let adjoint = Adjoint::new(&case.graph, &[seed], &[x, other]).unwrap();
    assert!(adjoint.adjoint_of(x).is_some());
    assert!(adjoint.adjoint_of(other).is_none());
}
