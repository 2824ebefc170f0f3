//! HRM and TRM against recorded runs of the originals: latents, logits, halting and answers on every device;
//! an example's numbers whatever its batch; weights, configurations and requests that do not fit.

mod exponents;
mod goldens;
mod refusals;

use attractor::device::Device;
use attractor::formats::{ArrayMap, load_arrays};
use attractor::graph::{Moment, Phase, Plan};
use attractor::models::recursive::{
    Granularity, Observation, PuzzleRows, RecursiveConfig, RecursiveSettings, Start,
};
use attractor::orbit::Orbit;
use attractor::samplers::recursive::{Reasoner, Solutions, SolveRequest};
use std::path::{Path, PathBuf};

const CASES: [&str; 3] = ["hrm_learned", "trm_mlp", "trm_tiny_full"];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ftle/models")
}

fn arrays(case: &str) -> ArrayMap {
    load_arrays(data().join(format!("{case}.safetensors"))).unwrap()
}

/// The state dict of a case, under a prefix.
fn weights(case: &str, prefix: &str) -> ArrayMap {
    let mut map = ArrayMap::new("weights.safetensors");
    for (name, array) in arrays(case).iter() {
        if let Some(name) = name.strip_prefix("weights.inner.") {
            map.insert(format!("{prefix}{name}"), array.clone())
                .unwrap();
        }
    }
    map
}

fn settings(case: &str) -> RecursiveSettings {
    let file = data().join(format!("{case}.json"));
    let text = std::fs::read_to_string(file).unwrap();
    RecursiveSettings::parse("config.json", &text).unwrap()
}

fn config(case: &str) -> RecursiveConfig {
    settings(case)
        .complete("config.json", &weights(case, ""))
        .unwrap()
}

fn reasoner(case: &str, device: &Device) -> Reasoner {
    let (config, weights) = (config(case), weights(case, ""));
    Reasoner::new(config, &weights, PuzzleRows::Exact, device).unwrap()
}

/// Puzzles of made-up tokens.
fn tokens(config: &RecursiveConfig, count: usize) -> Vec<u32> {
    let cells = (count * config.seq_len) as u32;
    let token = |i: u32| (i.wrapping_mul(2_654_435_761) >> 16) % config.vocab_size as u32;
    (0..cells).map(token).collect()
}

fn solve(
    reasoner: &mut Reasoner,
    tokens: &[u32],
    (batch, record): (Option<usize>, bool),
) -> Solutions {
    let count = tokens.len() / reasoner.config().seq_len;
    let puzzles = reasoner.config().num_puzzle_identifiers as u32;
    let puzzles: Vec<u32> = (0..count as u32).map(|example| example % puzzles).collect();
    let request = SolveRequest {
        puzzles: &puzzles,
        steps: 5,
        record,
        batch,
        ..SolveRequest::new(tokens, reasoner.config())
    };
    let mut found = reasoner.solve(&request).unwrap();
    found.report = Default::default();
    found
}

fn check_batches(device: &Device) {
    for case in CASES {
        let mut reasoner = reasoner(case, device);
        let tokens = tokens(reasoner.config(), 7);
        let all = solve(&mut reasoner, &tokens, (None, true));
        assert_eq!(all.count, 7);
        for batch in [1, 3, 7] {
            let cut = solve(&mut reasoner, &tokens, (Some(batch), true));
            assert_eq!(cut, all, "{case} in batches of {batch}");
        }
        // Without trajectories only the last step's logits are made.
        let plain = solve(&mut reasoner, &tokens, (Some(2), false));
        assert_eq!(
            (&plain.logits, &plain.q_halt),
            (&all.logits, &all.q_halt),
            "{case}"
        );
        assert_eq!(plain.predictions, all.predictions);
    }
}

#[test]
fn an_example_does_not_depend_on_its_batch() {
    check_batches(&Device::cpu());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn an_example_does_not_depend_on_its_batch_on_a_gpu() {
    check_batches(&Device::wgpu("").expect("an adapter; ./scripts/test installs a software one"));
}

#[test]
fn updates_are_counted_as_the_exponents_are() {
    for (case, calls, lower) in [
        ("hrm_learned", 8, 6),
        ("trm_mlp", 15, 12),
        ("trm_tiny_full", 6, 4),
    ] {
        let reasoner = reasoner(case, &Device::cpu());
        let map = reasoner.model().map(2, Start::Initial);
        let points = |granularity| map.points(granularity);
        assert_eq!(points(Granularity::Sub).len(), calls, "{case}");
        assert_eq!(points(Granularity::Lstep).len(), lower, "{case}");
        assert_eq!(points(Granularity::Step), [calls - 1], "{case}");
        assert_eq!(points(Granularity::Lstep).last(), Some(&(calls - 1)));
        // Every update ends with the node that writes one latent of the state; the last ends the step.
        let (nodes, updates) = (map.map.graph.nodes(), &map.map.updates);
        assert_eq!((updates.len(), updates.last()), (calls, Some(&nodes.len())));
        for &end in updates {
            assert_eq!(nodes[end - 1].operands.last(), Some(&Some(map.map.state)));
            assert_eq!(nodes[end - 1].phase, Phase::Step);
        }
        assert_eq!(map.map.dimension, reasoner.config().dimension());
    }
    // Of two upper updates with three lower ones each, the last lower one is passed over.
    let reasoner = reasoner("hrm_learned", &Device::cpu());
    let map = reasoner.model().map(1, Start::Initial);
    assert_eq!(map.points(Granularity::Lstep), [0, 1, 3, 4, 5, 7]);
}

#[test]
fn a_run_goes_on_from_where_the_host_says() {
    let mut reasoner = reasoner("trm_mlp", &Device::cpu());
    let tokens = tokens(reasoner.config(), 2);
    let whole = solve(&mut reasoner, &tokens, (Some(2), true));
    let states = whole.trajectories.unwrap().states;
    let dimension = reasoner.config().dimension();
    let after = |step: usize| -> Vec<f32> {
        let of = |example: usize| &states[(example * 5 + step) * dimension..][..dimension];
        (0..2).flat_map(of).map(|&v| v as f32).collect()
    };
    let model = reasoner.model();
    let map = model.map(2, Start::Given);
    let mut graph = map.map.graph.clone();
    let what = Observation {
        steps: 2,
        logits: false,
        states: false,
    };
    let observed = model.observe(&mut graph, &map, what);
    let mut orbit = Orbit::new(&Plan::compile(graph, reasoner.device()).unwrap()).unwrap();
    orbit.execution.write(map.map.state, &after(2)).unwrap();
    orbit.execution.write_words(map.tokens, &tokens).unwrap();
    orbit
        .execution
        .write_words(map.puzzles.unwrap(), &[0, 0])
        .unwrap();
    orbit.run(2, &Moment::default()).unwrap();
    assert_eq!(orbit.execution.read(map.map.state).unwrap(), after(4));
    let drift = orbit.execution.read_f64(observed.squared_drift).unwrap();
    let moved: Vec<f64> = [3, 4]
        .into_iter()
        .flat_map(|step| [whole.drift_h[step], whole.drift_h[5 + step]])
        .collect();
    assert_eq!(
        drift
            .iter()
            .step_by(2)
            .map(|v| v.sqrt())
            .collect::<Vec<_>>(),
        moved
    );
    // And the start is the one that the engine writes itself.
    assert_eq!(model.start(2).len(), 2 * dimension);
}

#[test]
fn names_of_every_trainer_are_known() {
    let device = Device::cpu();
    let mut plain = reasoner("trm_tiny_full", &device);
    let tokens = tokens(plain.config(), 3);
    let expected = solve(&mut plain, &tokens, (None, false));
    for prefix in ["inner.", "model.inner.", "_orig_mod.model.inner."] {
        let weights = weights("trm_tiny_full", prefix);
        let config = settings("trm_tiny_full").complete("c", &weights).unwrap();
        let mut other = Reasoner::new(config, &weights, PuzzleRows::Exact, &device).unwrap();
        assert_eq!(
            solve(&mut other, &tokens, (None, false)),
            expected,
            "{prefix}"
        );
    }
}
