//! Configurations, weights, devices.

use crate::common::trained::{made_up, random_weights, state_dict, tiny_config};
use crate::{refused, remdm};
use attractor::device::{Device, Selection};
use attractor::formats::{Array, ArrayMap};
use attractor::models::remdm::DenoiserConfig;
use attractor::samplers::{PlanRequest, Planner, SamplerKind, SamplerSettings};

#[test]
fn configurations_that_do_not_hold_together() {
    type Change = fn(&mut DenoiserConfig);
    let cases: &[(Change, &[&str])] = &[
        (|c| c.action_dim = 0, &["action_dim is 0"]),
        (|c| c.crop_size = 0, &["crop_size is 0"]),
        (|c| c.map_h = 0, &["map_h is 0"]),
        (|c| c.map_w = 70_000, &["map_w is 70000", "65536"]),
        (|c| c.n_embd = 0, &["n_embd is 0"]),
        (|c| c.n_embd = usize::MAX, &["n_embd is"]),
        (|c| c.n_embd = 17, &["n_embd is 17", "multiple of n_head"]),
        (|c| c.n_embd = 1024, &["n_embd is 1024", "256"]),
        (|c| c.n_head = 0, &["n_head is 0"]),
        (|c| c.n_layer = 0, &["n_layer is 0"]),
        (|c| c.seq_len = 0, &["seq_len is 0"]),
        (|c| c.num_diffusion_steps = 0, &["num_diffusion_steps is 0"]),
        (|c| c.mask_token = 11, &["mask_token is 11", "12"]),
        (|c| c.pad_token = 12, &["pad_token is 12", "13"]),
        (|c| c.n_global_tokens = 7, &["n_global_tokens is 7", "8"]),
    ];
    let weights = random_weights(&tiny_config(), |_, _| {});
    for (change, parts) in cases {
        let mut config = tiny_config();
        change(&mut config);
        refused(
            "check",
            config.check("model.json"),
            &[parts, &["model.json"][..]].concat(),
        );
        let planner = Planner::new(config, &weights, &Device::cpu());
        refused("planner", planner, parts);
    }
    for (text, parts) in [
        ("", &["model.json", "not JSON"][..]),
        ("{", &["model.json", "not JSON"]),
        ("[]", &["model.json", "object"]),
        ("{\"config\": 3}", &["model.json", "object"]),
        ("{\"n_embd\": -16}", &["model.json"]),
        ("{\"n_embd\": 1.5}", &["model.json"]),
        ("{\"n_embd\": \"16\"}", &["model.json"]),
        ("{\"config\": {\"n_head\": 3}}", &["model.json", "n_embd"]),
        ("{\"use_global_stream\": 1}", &["model.json"]),
    ] {
        refused(text, DenoiserConfig::from_json("model.json", text), parts);
    }
}

#[test]
fn weights_that_do_not_fit() {
    let config = tiny_config();
    let make = |map: &ArrayMap| Planner::new(config.clone(), map, &Device::cpu());
    make(&random_weights(&config, |_, _| {})).expect("good weights");
    let file = "random.safetensors";
    // Every tensor in turn: missing, with a NaN, with an infinity, of another shape, of another kind.
    for (name, shape) in &state_dict(&config) {
        let rebuilt = |change: &dyn Fn(&mut ArrayMap)| {
            let mut map = ArrayMap::new(file);
            for (other, shape) in state_dict(&config).iter().filter(|(n, _)| n != name) {
                let zeros = vec![0.0f32; shape.iter().product()];
                map.insert(other, Array::new(shape, zeros).expect("array"))
                    .expect("a new name");
            }
            change(&mut map);
            make(&map)
        };
        let with =
            |array: Array| rebuilt(&|map| map.insert(name, array.clone()).expect("a new name"));
        let count: usize = shape.iter().product();
        refused("missing", rebuilt(&|_| {}), &[file, name]);
        for bad in [f32::NAN, f32::NEG_INFINITY] {
            let mut values = vec![0.0f32; count];
            values[count - 1] = bad;
            let outcome = with(Array::new(shape, values).expect("array"));
            refused("not finite", outcome, &[file, name, &bad.to_string()]);
        }
        let longer = [&shape[..], &[1]].concat();
        let outcome = with(Array::new(&longer, vec![0.0f32; count]).expect("array"));
        refused("shape", outcome, &[file, name, &format!("{longer:?}")]);
        let outcome = with(Array::new(shape, vec![0i64; count]).expect("array"));
        refused("kind", outcome, &[file, name]);
    }
}

#[test]
fn weights_of_another_model() {
    let config = tiny_config();
    let weights = random_weights(&config, |_, _| {});
    let shallow = DenoiserConfig {
        n_layer: 1,
        ..config.clone()
    };
    let parts = ["random.safetensors", "transformer.layers.1.", "n_layer = 1"];
    refused(
        "layers",
        Planner::new(shallow, &weights, &Device::cpu()),
        &parts,
    );
    let blind = DenoiserConfig {
        use_global_stream: false,
        ..config.clone()
    };
    let parts = ["random.safetensors", "global", "use_global_stream = false"];
    refused(
        "streams",
        Planner::new(blind, &weights, &Device::cpu()),
        &parts,
    );
    let wide = DenoiserConfig {
        n_embd: 32,
        ..config
    };
    let outcome = Planner::new(wide, &weights, &Device::cpu());
    refused(
        "width",
        outcome,
        &["random.safetensors", "[32, 5184]", "[16, 5184]"],
    );
}

/// Longer plans than a kernel is defined for are refused when they are compiled, not cut.
#[test]
fn plans_longer_than_the_samplers_can() {
    let config = DenoiserConfig {
        seq_len: 1025,
        ..tiny_config()
    };
    let weights = random_weights(&config, |_, _| {});
    let mut planner = Planner::new(config.clone(), &weights, &Device::cpu()).expect("planner");
    let observations = made_up(&config, 1);
    let settings = SamplerSettings {
        sampler: SamplerKind::Greedy,
        ..remdm()
    };
    let outcome = planner.plan(&settings, &PlanRequest::new(&observations, 1));
    refused("length", outcome, &["length is 1025", "1..=1024"]);
}

#[test]
fn devices_that_are_not_there() {
    for name in ["no such adapter", "gpu9", "\u{1f980}"] {
        refused(
            name,
            Selection::by_name(name),
            &[name, "the CPU device is \"cpu\""],
        );
    }
}
