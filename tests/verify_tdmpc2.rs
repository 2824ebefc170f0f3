//! Goldens of TD-MPC2's networks: those of the reference pass under any name and with old names of tensors,
//! changed ones fail; and checkpoints as PyTorch writes them, of one task and of several.

mod common;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use attractor::device::Device;
use attractor::formats::{Array, ArrayData, ArrayMap, load_arrays, safetensors};
use attractor::graph::{Graph, Moment, Phase, Plan, TensorId, TensorKind};
use attractor::models::mlp::RowView;
use attractor::models::tdmpc2::{
    InitialWeights, Members, Tdmpc2, Tdmpc2Config, ValueNetwork, random_weights,
};
use attractor::orbit::Orbit;
use attractor::verify::{Case, Verdict, run};
use attractor_kernels::copy::CopyFloats;
use serde_json::{Value, json};

const FILES: [&str; 2] = ["tdmpc2_tiny", "tdmpc2_tiny_nopi_deep"];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/worldmodel")
}

/// A folder with one file of goldens, named anew.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str, file: &str) -> Self {
        let name = format!("attractor-tdmpc2-{test}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir_all(&path).unwrap();
        for end in ["json", "safetensors"] {
            let from = data().join(format!("{file}.{end}"));
            std::fs::copy(from, path.join(format!("other.{end}"))).unwrap();
        }
        Self(path)
    }

    fn index(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.0.join("other.json")).unwrap()).unwrap()
    }

    fn write_index(&self, index: &Value) {
        std::fs::write(self.0.join("other.json"), index.to_string()).unwrap();
    }

    fn arrays(&self) -> ArrayMap {
        load_arrays(self.0.join("other.safetensors")).unwrap()
    }

    /// Writes the tensors, each as `change` has it: under which name and with which numbers, or not at all.
    fn save(&self, arrays: &ArrayMap, change: impl Fn(&str, &mut Vec<f32>) -> Option<String>) {
        let mut changed = ArrayMap::new("changed");
        for (name, array) in arrays.iter() {
            let array = match array.data() {
                ArrayData::F32(values) => {
                    let mut values = values.clone();
                    let Some(name) = change(name, &mut values) else {
                        continue;
                    };
                    changed
                        .insert(name, Array::new(array.shape(), values).unwrap())
                        .unwrap();
                    continue;
                }
                _ => array.clone(),
            };
            changed.insert(name, array).unwrap();
        }
        safetensors::save(self.0.join("other.safetensors"), &changed).unwrap();
    }

    /// The line of the networks.
    fn case(&self, device: &Device) -> Case {
        let report = run(&self.0, device).unwrap();
        let mut own = report.cases.into_iter().filter(|c| c.kind == "networks");
        let case = own.next().expect("a case of networks");
        assert!(own.next().is_none());
        case
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn the_reference_passes() {
    for file in FILES {
        let folder = Folder::new("passes", file);
        for device in [Device::cpu(), Device::cpu_f64()] {
            let case = folder.case(&device);
            assert_eq!(case.verdict, Verdict::Pass, "{file}: {case:?}");
            assert!(case.compared > 3000, "{case:?}");
        }
    }
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn the_reference_passes_on_a_gpu() {
    for file in FILES {
        let case = Folder::new("gpu", file).case(&common::gpu());
        assert_eq!(case.verdict, Verdict::Pass, "{file}: {case:?}");
    }
}

/// Each stored output and each weight, changed in one place or taken away, fails or is told.
#[test]
fn changed_tensors_fail() {
    let folder = Folder::new("changed", "tdmpc2_tiny_nopi_deep");
    let arrays = folder.arrays();
    let own = |name: &&str| name.starts_with("io.") || name.starts_with("w.");
    for name in arrays.names().filter(own) {
        let keep = |own: &str| Some(own.to_string());
        folder.save(&arrays, |own, values| {
            let middle = values.len() / 2;
            if own == name {
                // Noise hardly counts where the policy is nearly certain, so all of it is changed.
                if name == "io.pi_eps" {
                    values.iter_mut().for_each(|value| *value = 1.5 - *value);
                }
                // Large enough for a weight whose input is small, small enough for an entropy.
                values[middle] += 0.02 * values[middle].abs().max(1.0);
            }
            keep(own)
        });
        let case = folder.case(&Device::cpu());
        assert_ne!(case.verdict, Verdict::Pass, "{name} changed: {case:?}");
        folder.save(&arrays, |own, _| (own != name).then(|| own.to_string()));
        let case = folder.case(&Device::cpu());
        assert_ne!(case.verdict, Verdict::Pass, "without {name}: {case:?}");
    }
}

#[test]
fn changed_entries_of_the_index_fail() {
    let folder = Folder::new("index", "tdmpc2_tiny_nopi_deep");
    let index = folder.index();
    let check = |what: &str, change: &dyn Fn(&mut Value)| {
        let mut changed = index.clone();
        change(&mut changed);
        folder.write_index(&changed);
        let case = folder.case(&Device::cpu());
        assert_eq!(case.verdict, Verdict::Fail, "{what}: {case:?}");
    };
    check("total_params", &|index| {
        index["total_params"] = json!(33_706)
    });
    check("discount", &|index| index["discount"] = json!(0.991));
    check("obs_dim", &|index| index["obs_dim"] = json!(7));
    check("extra", &|index| index["extra"] = json!(7));
    for (key, value) in [
        ("bin_size", json!(0.5)),
        ("mlp_dim", json!(41)),
        ("num_q", json!(2)),
        ("num_bins", json!(50)),
        ("simnorm_dim", json!(4)),
        ("log_std_min", json!(-9)),
        ("log_std_max", json!(2.0)),
        ("vmax", json!(9)),
        ("episodic", json!(false)),
        ("num_enc_layers", json!(2)),
    ] {
        check(key, &|index| index["config"][key] = value.clone());
    }
    for at in [0, 3] {
        check("state_dict_names", &|index| {
            index["state_dict_names"][at][0] = json!("other");
        });
        check("state_dict_names", &|index| {
            index["state_dict_names"][at][2] = json!("torch.float16");
        });
    }
    for key in ["reward", "q", "pi_mean"] {
        for at in 0..2 {
            check(key, &|index| {
                let value = index["stats"][key][at].as_f64().unwrap();
                index["stats"][key][at] = json!(value + 1e-3);
            });
        }
    }
}

/// Old files number an ensemble's parameters through.
fn old_name(name: &str) -> String {
    for (newest, old) in [
        ("w._Qs.params.", "w._Qs.params."),
        ("w._target_Qs_params.", "w._target_Qs.params."),
    ] {
        let Some((layer, part)) = name.strip_prefix(newest).and_then(|n| n.split_once('.')) else {
            continue;
        };
        let parts = ["weight", "bias", "ln.weight", "ln.bias"];
        let place = parts.iter().position(|own| *own == part).unwrap();
        return format!("{old}{}", 4 * layer.parse::<usize>().unwrap() + place);
    }
    name.to_string()
}

#[test]
fn old_names_give_the_same() {
    let folder = Folder::new("old", "tdmpc2_tiny");
    let before = folder.case(&Device::cpu());
    folder.save(&folder.arrays(), |name, _| Some(old_name(name)));
    assert!(folder.arrays().contains("w._target_Qs.params.9"));
    assert_eq!(folder.case(&Device::cpu()), before);
    assert_eq!(before.verdict, Verdict::Pass);
}

/// A graph over `rows` rows of stored inputs and what it gives.
struct Run {
    graph: Graph,
    inputs: Vec<(TensorId, Vec<f64>)>,
    rows: usize,
}

impl Run {
    fn new(rows: usize) -> Self {
        Self {
            graph: Graph::new(),
            inputs: Vec::new(),
            rows,
        }
    }

    fn input(&mut self, name: &str, values: &[f64]) -> TensorId {
        let shape = [self.rows, values.len() / self.rows];
        let id = self.graph.float(name, &shape, TensorKind::Input);
        self.inputs.push((id, values.to_vec()));
        id
    }

    fn middle(&mut self, name: &str, width: usize) -> TensorId {
        let shape = [self.rows, width];
        self.graph.float(name, &shape, TensorKind::Intermediate)
    }

    fn finish(mut self, device: &Device, wanted: &[TensorId]) -> Vec<Vec<f64>> {
        wanted.iter().for_each(|id| self.graph.keep(*id));
        let plan = Plan::compile(self.graph, device).unwrap();
        let mut orbit = Orbit::new(&plan).unwrap();
        for (id, values) in &self.inputs {
            orbit.execution.write_f64(*id, values).unwrap();
        }
        orbit.run(1, &Moment::default()).unwrap();
        let read = |id: &TensorId| orbit.execution.read_f64(*id).unwrap();
        wanted.iter().map(read).collect()
    }
}

fn assert_near(what: &str, found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let error = (found - expected).abs();
        assert!(error <= tolerance, "{what}: {found} against {expected}");
    }
}

fn two_tasks() -> (ArrayMap, Tdmpc2Config, ArrayMap) {
    let weights = load_arrays(data().join("tdmpc2_two_tasks.pt")).unwrap();
    let outputs = load_arrays(data().join("tdmpc2_two_tasks_outputs.safetensors")).unwrap();
    let config = Tdmpc2Config {
        obs_dim: 4,
        action_dim: 2,
        latent_dim: 16,
        enc_dim: 8,
        mlp_dim: 8,
        num_q: 3,
        num_bins: 5,
        episodic: true,
        ..Tdmpc2Config::default()
    };
    (weights, config, outputs)
}

/// A checkpoint of two tasks as PyTorch writes it, with the bookkeeping of its containers, one embedding
/// longer than 1, and a task with fewer actions. Latents go over latents in place.
#[test]
fn a_checkpoint_of_two_tasks() {
    let (weights, config, outputs) = two_tasks();
    let stored = |name: &str| outputs.get(name).unwrap().to_f64().unwrap();
    for task in 0..2 {
        let model = Tdmpc2::read(&weights, &config, Some(task)).unwrap();
        let expected = |name: &str| stored(&format!("task{task}.{name}"));
        let mut run = Run::new(6);
        let (obs, eps) = (
            run.input("obs", &stored("obs")),
            run.input("eps", &stored("eps")),
        );
        let act = run.input("act", &stored("act"));
        let joint = run.middle("joint", 18);
        let (rows, step) = (RowView::of(joint, 18), Phase::Step);
        let graph = &mut run.graph;
        model.encode(graph, (step, "enc."), 6, RowView::of(obs, 4), rows);
        let copy = |from: [u32; 2], to: [u32; 2], dst_offset: u32| CopyFloats {
            dst_offset,
            ..CopyFloats::strided([1, 1, 6, from[0]], [0, 0, from[1], 1], [0, 0, to[0], to[1]])
        };
        let actions = copy([2, 2], [18, 1], 16);
        graph.push(step, "actions", actions, &[Some(act), Some(joint)]);
        let z = run.middle("z", 16);
        let graph = &mut run.graph;
        let latents = copy([16, 18], [16, 1], 0);
        graph.push(step, "latents", latents, &[Some(joint), Some(z)]);
        let q = model.q(graph, (step, "q."), 6, rows, Members::All);
        let target = (ValueNetwork::Target, Members::All);
        let target = model
            .value(graph, (step, "target."), 6, rows, target)
            .unwrap();
        let raw = model.policy(graph, (step, "pi."), 6, rows);
        let end = model.termination(graph, (step, "end."), 6, rows).unwrap();
        let (actor, mask) = model.actor(graph, 6);
        let reward = model.reward_and_dynamics(graph, (step, "both."), 6, rows, rows);
        let next = run.middle("next", 16);
        let action = run.middle("action", 2);
        let graph = &mut run.graph;
        graph.push(step, "next", latents, &[Some(joint), Some(next)]);
        let operands = [Some(raw), Some(eps), mask, Some(action), None, None, None];
        graph.push(step, "actor", actor, &operands);
        let wanted = [z, next, reward, q, target, end, action];
        let names = [
            "z",
            "z_next",
            "reward_logits",
            "q_logits",
            "target_logits",
            "termination",
            "action",
        ];
        let found = run.finish(&Device::cpu(), &wanted);
        for (name, found) in names.iter().zip(&found) {
            assert_near(
                &format!("task {task}: {name}"),
                found,
                &expected(name),
                5e-6,
            );
        }
        assert_eq!(model.action_mask().unwrap()[1], task as f32);
    }
}

#[test]
fn chosen_members_of_groups_are_those_members() {
    let config = Tdmpc2Config {
        latent_dim: 16,
        mlp_dim: 13,
        enc_dim: 9,
        num_bins: 7,
        action_dim: 3,
        ..Tdmpc2Config::default()
    };
    let weights = random_weights(&config, InitialWeights::Spread, 3).unwrap();
    let model = Tdmpc2::read(&weights, &config, None).unwrap();
    let (rows, groups, wide) = (15usize, 3usize, 19usize);
    // The first and the second member of each group.
    let words = vec![4u32, 0, 2, 1, 3, 2];
    let mut run = Run::new(rows);
    let numbers: Vec<f64> = (0..rows * wide).map(|i| (i as f64 * 0.61).sin()).collect();
    let joint = RowView::of(run.input("joint", &numbers), wide);
    let chosen = run
        .graph
        .constant_words("words", &[2, groups], Arc::new(words.clone()));
    let members = Members::Chosen {
        words: chosen,
        count: 2,
        groups,
    };
    let all = model.q(
        &mut run.graph,
        (Phase::Step, "all."),
        rows,
        joint,
        Members::All,
    );
    let some = model.q(&mut run.graph, (Phase::Step, "some."), rows, joint, members);
    let found = run.finish(&Device::cpu(), &[all, some]);
    let (part, bins) = (rows / groups, 7);
    for (at, member) in words.iter().enumerate() {
        let (place, group) = (at / groups, at % groups);
        let of = |values: &[f64], member: usize| {
            values[(member * rows + group * part) * bins..][..part * bins].to_vec()
        };
        let (expected, found) = (of(&found[0], *member as usize), of(&found[1], place));
        assert_eq!(found, expected, "member {member} of group {group}");
    }
}

/// Stock weights make reward and value zero; the same seed gives the same weights.
#[test]
fn weights_before_training() {
    let config = Tdmpc2Config::preset(1, 5, 1).unwrap();
    let weights = random_weights(&config, InitialWeights::Stock, 1).unwrap();
    let again = random_weights(&config, InitialWeights::Stock, 1).unwrap();
    assert_eq!(weights.content_hash(), again.content_hash());
    let other = random_weights(&config, InitialWeights::Stock, 2).unwrap();
    assert_ne!(weights.content_hash(), other.content_hash());
    let values = |name: &str| weights.get(name).unwrap().to_f64().unwrap();
    assert!(values("_reward.2.weight").iter().all(|v| *v == 0.0));
    let hidden = values("_Qs.params.1.weight");
    let square: f64 = hidden.iter().map(|v| v * v).sum();
    assert!(((square / hidden.len() as f64).sqrt() - 0.02).abs() < 2e-4);
    Tdmpc2::read(&weights, &config, None).unwrap();
}

#[test]
fn checkpoints_that_do_not_fit_are_refused_by_name() {
    let (weights, config, _) = two_tasks();
    let refused = |weights: &ArrayMap, config: &Tdmpc2Config, task, parts: &[&str]| {
        let error = Tdmpc2::read(weights, config, task).unwrap_err().to_string();
        for part in parts {
            assert!(error.contains(part), "{error} does not say {part}");
        }
    };
    let file = "tdmpc2_two_tasks.pt";
    refused(&weights, &config, None, &[file, "task", "2"]);
    refused(&weights, &config, Some(2), &[file, "task", "0 to 1", "2"]);
    let wider = Tdmpc2Config {
        mlp_dim: 9,
        ..config.clone()
    };
    refused(
        &weights,
        &wider,
        Some(0),
        &[file, "_dynamics.0.weight", "9", "8"],
    );
    let fewer = Tdmpc2Config {
        num_q: 2,
        ..config.clone()
    };
    refused(&weights, &fewer, Some(0), &[file, "_Qs.params.0.weight"]);
    let endless = Tdmpc2Config {
        episodic: false,
        ..config.clone()
    };
    refused(&weights, &endless, Some(0), &[file, "_termination.0."]);
    let narrow = Tdmpc2Config {
        log_std_max: 1.0,
        ..config.clone()
    };
    refused(
        &weights,
        &narrow,
        Some(0),
        &[file, "log_std_dif", "11", "12"],
    );
    let without = |name: &str| {
        let mut map = weights.clone();
        map.take(name).unwrap();
        map
    };
    refused(
        &without("_pi.1.ln.bias"),
        &config,
        Some(0),
        &["_pi.1.ln.bias"],
    );
    refused(
        &without("_target_Qs_params.1.bias"),
        &config,
        Some(0),
        &["_target_Qs_params.1.bias"],
    );
    let mut broken = weights.clone();
    let array = broken.take("_Qs.params.1.weight").unwrap();
    let ArrayData::F32(values) = array.data() else {
        panic!("weights are f32");
    };
    let mut values = values.clone();
    values[70] = f32::NAN;
    let array = Array::new(array.shape(), values).unwrap();
    broken.insert("_Qs.params.1.weight", array).unwrap();
    refused(
        &broken,
        &config,
        Some(0),
        &["_Qs.params.1.weight", "NaN", "70"],
    );
    let single = random_weights(&config, InitialWeights::Spread, 1).unwrap();
    refused(&single, &config, Some(0), &["task", "one task", "0"]);
}
