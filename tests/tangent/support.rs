//! A graph, what it starts from, and how its tangents are held against central differences.

use crate::common::values;
use attractor::device::Device;
use attractor::graph::tangent::Tangent;
use attractor::graph::{Execution, Graph, GraphError, Moment, Phase, Plan, TensorId, TensorKind};
use attractor_kernels::{AnyKernel, Element};
use std::sync::Arc;

/// Numbers of tangents that every case is tried with.
pub const COUNTS: [usize; 3] = [1, 3, 8];

/// A graph under test. Seeds are [`TensorKind::State`]; everything that the host reads is compared.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub graph: Graph,
    pub seeds: Vec<TensorId>,
    pub floats: Vec<(TensorId, Vec<f32>)>,
    pub words: Vec<(TensorId, Vec<u32>)>,
    pub steps: u32,
    /// Half the distance of the points of a difference.
    pub distance: f64,
    /// Error of single precision, as a part of a tensor's largest tangent.
    pub tolerance: f64,
    /// What working memory and inputs are filled with before the run that counts.
    pub poison: f32,
    phase: Phase,
}

impl Case {
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            graph: Graph::new(),
            seeds: Vec::new(),
            floats: Vec::new(),
            words: Vec::new(),
            steps: 1,
            distance: 1e-5,
            tolerance: 2e-5,
            poison: f32::NAN,
            phase: Phase::Step,
        }
    }

    fn numbers(&self, count: usize) -> Vec<f32> {
        values(count, 31 + 7 * self.graph.tensors().len() as u64)
    }

    /// A tensor that tangents are seeded in.
    pub fn seed(&mut self, shape: &[usize]) -> TensorId {
        let id = self.tensor(shape, TensorKind::State);
        self.seeds.push(id);
        id
    }

    /// Numbers from the host, without tangents.
    pub fn given(&mut self, shape: &[usize]) -> TensorId {
        self.tensor(shape, TensorKind::Input)
    }

    fn tensor(&mut self, shape: &[usize], kind: TensorKind) -> TensorId {
        let numbers = self.numbers(shape.iter().product());
        let name = format!("t{}", self.graph.tensors().len());
        let id = self.graph.float(name, shape, kind);
        self.floats.push((id, numbers));
        id
    }

    /// Changes what a tensor starts with.
    pub fn map(&mut self, id: TensorId, change: impl Fn(f32) -> f32) {
        for (_, numbers) in self.floats.iter_mut().filter(|(own, _)| *own == id) {
            numbers
                .iter_mut()
                .for_each(|number| *number = change(*number));
        }
    }

    pub fn constant(&mut self, shape: &[usize]) -> TensorId {
        let numbers = self.numbers(shape.iter().product());
        let name = format!("t{}", self.graph.tensors().len());
        self.graph.constant(name, shape, Arc::new(numbers))
    }

    /// Words from the host.
    pub fn words(&mut self, numbers: Vec<u32>, kind: TensorKind) -> TensorId {
        let name = format!("t{}", self.graph.tensors().len());
        let id = self.graph.word(name, &[numbers.len()], kind);
        self.words.push((id, numbers));
        id
    }

    pub fn out(&mut self, shape: &[usize]) -> TensorId {
        let name = format!("t{}", self.graph.tensors().len());
        self.graph.float(name, shape, TensorKind::Output)
    }

    pub fn middle(&mut self, shape: &[usize]) -> TensorId {
        let name = format!("t{}", self.graph.tensors().len());
        self.graph.float(name, shape, TensorKind::Intermediate)
    }

    pub fn middle_words(&mut self, count: usize) -> TensorId {
        let name = format!("t{}", self.graph.tensors().len());
        self.graph.word(name, &[count], TensorKind::Intermediate)
    }

    /// Later nodes run in this phase.
    pub fn phase(&mut self, phase: Phase) {
        self.phase = phase;
    }

    pub fn push(&mut self, kernel: impl Into<AnyKernel>, operands: &[Option<TensorId>]) {
        let kernel = kernel.into();
        let label = format!("n{} {}", self.graph.nodes().len(), kernel.id().name());
        self.graph.push(self.phase, label, kernel, operands);
    }

    /// Appends a node whose operands are all there.
    pub fn node(&mut self, kernel: impl Into<AnyKernel>, operands: &[TensorId]) {
        let operands: Vec<_> = operands.iter().copied().map(Some).collect();
        self.push(kernel, &operands);
    }

    pub fn readable(&self) -> Vec<TensorId> {
        let all = self.graph.tensors().iter();
        let kept = all.filter(|t| t.kind.is_readable() && t.element == Element::Float);
        kept.map(|t| self.graph.find(&t.name).expect("its own name"))
            .collect()
    }

    /// The graph with its tangents.
    pub fn tangent(&self, count: usize) -> Result<Tangent, GraphError> {
        let mut tangent = Tangent::new(&self.graph, count, &self.seeds)?;
        tangent.advance(self.graph.nodes().len())?;
        Ok(tangent)
    }

    /// Direction `j` of each seed.
    fn direction(&self, seed: TensorId, j: usize) -> Vec<f32> {
        let place = self
            .seeds
            .iter()
            .position(|id| *id == seed)
            .expect("a seed");
        values(
            self.graph.tensor(seed).len(),
            1000 + 100 * place as u64 + j as u64,
        )
    }
}

/// All launches of `steps` steps in order.
fn launches(graph: &Graph, steps: u32) -> Vec<(usize, u32)> {
    let of = |phase: Phase| {
        let nodes = graph.nodes().iter().enumerate();
        let chosen = nodes.filter(move |(_, node)| node.phase == phase);
        chosen.map(|(index, _)| index).collect::<Vec<_>>()
    };
    let mut all: Vec<_> = of(Phase::Once).into_iter().map(|n| (n, 0)).collect();
    for step in 0..steps {
        all.extend(of(Phase::Step).into_iter().map(|n| (n, step)));
    }
    all.extend(of(Phase::Final).into_iter().map(|n| (n, steps - 1)));
    all
}

/// A compiled graph that can be run again and again.
pub struct Runner<'a> {
    case: &'a Case,
    execution: Execution,
    launches: Vec<(usize, u32)>,
}

pub type Contents = Vec<(TensorId, Vec<f64>)>;

impl<'a> Runner<'a> {
    pub fn new(case: &'a Case, graph: Graph, device: &Device) -> Self {
        let plan = Plan::compile(graph, device).unwrap_or_else(|e| panic!("{}: {e}", case.name));
        Self {
            case,
            launches: launches(plan.graph(), case.steps),
            execution: Execution::new(&plan).expect("execution"),
        }
    }

    pub fn run(&mut self, contents: &Contents, outputs: &[TensorId]) -> Vec<Vec<f64>> {
        let name = &self.case.name;
        for (id, numbers) in contents {
            self.execution
                .write_f64(*id, numbers)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        for (id, numbers) in &self.case.words {
            self.execution
                .write_words(*id, numbers)
                .unwrap_or_else(|e| panic!("{name}: {e}"));
        }
        let moment = Moment::default();
        self.execution
            .submit(&self.launches, &moment)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        self.execution
            .wait()
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let read = |id: &TensorId| {
            self.execution
                .read_f64(*id)
                .unwrap_or_else(|e| panic!("{name}: {e}"))
        };
        outputs.iter().map(read).collect()
    }
}

fn largest(numbers: &[f64]) -> f64 {
    numbers
        .iter()
        .fold(0.0, |kept, number| f64::max(kept, number.abs()))
}

/// Central differences of the outputs along the first `count` directions: `[output][direction]`.
fn differences(case: &Case, outputs: &[TensorId], count: usize) -> Vec<Vec<Vec<f64>>> {
    let mut runner = Runner::new(case, case.graph.clone(), &Device::cpu_f64());
    let mut all = vec![Vec::new(); outputs.len()];
    for j in 0..count {
        let mut at = |distance: f64| {
            let contents: Contents = case
                .floats
                .iter()
                .map(|(id, numbers)| {
                    let direction = match case.seeds.contains(id) {
                        true => case.direction(*id, j),
                        false => vec![0.0; numbers.len()],
                    };
                    let moved = numbers.iter().zip(direction);
                    let moved = moved.map(|(x, v)| f64::from(*x) + distance * f64::from(v));
                    (*id, moved.collect())
                })
                .collect();
            runner.run(&contents, outputs)
        };
        let (after, before) = (at(case.distance), at(-case.distance));
        for (output, (after, before)) in all.iter_mut().zip(after.iter().zip(before)) {
            let slopes = after.iter().zip(before);
            let slopes = slopes.map(|(a, b)| (a - b) / (2.0 * case.distance));
            output.push(slopes.collect::<Vec<f64>>());
        }
    }
    all
}

/// Tangents of the outputs on a device, after a run that has filled all memory with poison; also checks
/// that the values are those of the graph without tangents.
fn tangents(
    case: &Case,
    device: &Device,
    outputs: &[TensorId],
    count: usize,
) -> Vec<Option<Vec<f64>>> {
    let made = case
        .tangent(count)
        .unwrap_or_else(|e| panic!("{}, k = {count}: {e}", case.name));
    let places: Vec<_> = outputs.iter().map(|id| made.tangent_of(*id)).collect();
    let seeds: Vec<_> = case.seeds.iter().map(|id| made.tangent_of(*id)).collect();
    let mut runner = Runner::new(case, made.finish(), device);
    let mut contents: Contents = case
        .floats
        .iter()
        .map(|(id, numbers)| (*id, numbers.iter().map(|x| f64::from(*x)).collect()))
        .collect();
    for (seed, tangent) in case.seeds.iter().zip(seeds) {
        let directions = (0..count)
            .flat_map(|j| case.direction(*seed, j))
            .map(f64::from);
        contents.push((tangent.expect("a seed has tangents"), directions.collect()));
    }
    let read: Vec<_> = outputs
        .iter()
        .copied()
        .chain(places.iter().copied().flatten())
        .collect();
    let poisoned = contents
        .iter()
        .map(|(id, numbers)| (*id, vec![f64::from(case.poison); numbers.len()]))
        .collect();
    runner.run(&poisoned, &read);
    let mut found = runner.run(&contents, &read);
    let moved = found.split_off(outputs.len());
    let alone = Runner::new(case, case.graph.clone(), device).run(&contents_of(case), outputs);
    for (place, (with, without)) in found.iter().zip(&alone).enumerate() {
        let same = with.iter().zip(without).all(|(a, b)| a == b);
        assert!(
            same,
            "{}: values of output {place} differ under tangents",
            case.name
        );
    }
    let mut moved = moved.into_iter();
    places
        .iter()
        .map(|place| place.and_then(|_| moved.next()))
        .collect()
}

pub fn contents_of(case: &Case) -> Contents {
    let floats = case.floats.iter();
    floats
        .map(|(id, numbers)| (*id, numbers.iter().map(|x| f64::from(*x)).collect()))
        .collect()
}

/// Holds the tangents in double precision against differences, and single precision against those.
pub fn check(case: &Case, devices: &[(&Device, f64)]) {
    let outputs = case.readable();
    let most = COUNTS[COUNTS.len() - 1];
    let slopes = differences(case, &outputs, most);
    let moving = slopes.iter().flatten().map(|slope| largest(slope));
    assert!(
        moving.fold(0.0, f64::max) > 0.0,
        "{}: nothing moves",
        case.name
    );
    for count in COUNTS {
        let exact = tangents(case, &Device::cpu_f64(), &outputs, count);
        for (place, (exact, slopes)) in exact.iter().zip(&slopes).enumerate() {
            for (j, slope) in slopes.iter().take(count).enumerate() {
                let what = format!("{}, k = {count}, output {place}, tangent {j}", case.name);
                let zeros = vec![0.0; slope.len()];
                let own = exact
                    .as_ref()
                    .map(|all| &all[j * slope.len()..][..slope.len()]);
                compare(&what, own.unwrap_or(&zeros), slope, 1e-6);
                // <w, J v>, one number that depends on all elements.
                let weights = values(slope.len(), 5 + j as u64);
                let product = |numbers: &[f64]| -> f64 {
                    numbers
                        .iter()
                        .zip(&weights)
                        .map(|(a, w)| a * f64::from(*w))
                        .sum()
                };
                let (found, expected) = (product(own.unwrap_or(&zeros)), product(slope));
                let bound = 1e-6 * (1.0 + largest(slope)) * (slope.len() as f64).sqrt();
                assert!(
                    (found - expected).abs() <= bound,
                    "{what}: <w, J v> {found}, {expected}"
                );
            }
        }
        for (device, factor) in devices {
            let found = tangents(case, device, &outputs, count);
            for (place, (found, exact)) in found.iter().zip(&exact).enumerate() {
                if let (Some(found), Some(exact)) = (found, exact) {
                    let name = &device.info().name;
                    let what = format!("{}, k = {count}, output {place} on {name}", case.name);
                    compare(&what, found, exact, case.tolerance * factor);
                }
            }
        }
    }
}

fn compare(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}: lengths");
    let bound = tolerance * (1.0 + largest(expected));
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        let near = (found - expected).abs() <= bound;
        assert!(
            near,
            "{what}[{index}]: found {found}, expected {expected}, within {bound}"
        );
    }
}

/// Asserts that a graph has no tangents and that the error says why.
pub fn refuse(case: &Case, parts: &[&str]) {
    match case.tangent(2) {
        Ok(_) => panic!("{}: expected a refusal", case.name),
        Err(error) => {
            let text = error.to_string();
            for part in parts {
                assert!(text.contains(part), "{}: {part:?} in {text:?}", case.name);
            }
        }
    }
}
