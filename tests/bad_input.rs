//! Every input that cannot be: refused in one line that says what, what was expected and what was found.

mod common;

use attractor::device::{Device, Selection};
use attractor::formats::{Array, ArrayMap};
use attractor::models::remdm::DenoiserConfig;
use attractor::samplers::{
    Draws, ForwardRequest, Observations, PlanRequest, Planner, RemaskStrategy, SamplerKind,
    SamplerSettings,
};
use common::trained::{made_up, random_weights, state_dict, tiny_config, tiny_planner};

/// Asserts that an outcome is an error of one line that holds `parts`.
fn refused<T, E: std::fmt::Display>(what: &str, outcome: Result<T, E>, parts: &[&str]) {
    let Err(error) = outcome else {
        panic!("{what}: accepted");
    };
    let message = error.to_string();
    assert!(
        !message.is_empty() && !message.contains('\n'),
        "{what}: {message}"
    );
    for part in parts {
        assert!(
            message.contains(part),
            "{what}: \"{part}\" is not in \"{message}\""
        );
    }
}

const EXAMPLES: usize = 3;

fn remdm() -> SamplerSettings {
    SamplerSettings {
        steps: 2,
        ..SamplerSettings::new(SamplerKind::RemdmBernoulli)
    }
}

#[test]
fn settings_out_of_range() {
    let mut planner = tiny_planner(&Device::cpu());
    let observations = made_up(&tiny_config(), EXAMPLES);
    type Change = fn(&mut SamplerSettings);
    let cases: &[(Change, &[&str])] = &[
        (|s| s.steps = 0, &["steps is 0", "1..=100000"]),
        (|s| s.steps = 100_001, &["steps is 100001"]),
        (|s| s.steps = u32::MAX, &["steps is 4294967295"]),
        (|s| s.eta = -0.1, &["eta is -0.1"]),
        (|s| s.eta = f32::NAN, &["eta is NaN"]),
        (|s| s.eta = f32::INFINITY, &["eta is inf"]),
        (|s| s.temperature = 0.0, &["temperature is 0", "above 0"]),
        (|s| s.temperature = -1.0, &["temperature is -1"]),
        (|s| s.temperature = f32::NAN, &["temperature is NaN"]),
        (|s| s.temperature = f32::INFINITY, &["temperature is inf"]),
        (|s| s.temperature = 1e-40, &["temperature is"]),
        (|s| s.top_p = 0.0, &["top-p is 0", "(0, 1]"]),
        (|s| s.top_p = -0.5, &["top-p is -0.5"]),
        (|s| s.top_p = 1.001, &["top-p is 1.001"]),
        (|s| s.top_p = f32::NAN, &["top-p is NaN"]),
        (
            |s| s.noise_schedule = "quadratic".into(),
            &["noise_schedule", "cosine_sq", "quadratic"],
        ),
        (|s| s.noise_schedule = String::new(), &["noise_schedule"]),
        (
            |s| {
                s.sampler = SamplerKind::MaskgitRemask;
                s.noise_schedule = "cosine_sq".into();
            },
            &["noise_schedule of R1", "cosine_sq"],
        ),
        (
            |s| {
                s.sampler = SamplerKind::MaskgitRemask;
                s.strategy = RemaskStrategy::Loop;
            },
            &["strategy is loop", "remdm_bernoulli"],
        ),
        (|s| s.loop_on = s.loop_off, &["loop window"]),
        (|s| s.loop_on = 1.0, &["loop window"]),
        (|s| s.loop_off = 0.0, &["loop window"]),
        (|s| s.loop_on = f64::NAN, &["loop window is 0.05..NaN"]),
        (|s| s.loop_alpha = 0.0, &["loop-alpha is 0"]),
        (|s| s.loop_alpha = 1.0, &["loop-alpha is 1"]),
        (|s| s.loop_alpha = f64::NAN, &["loop-alpha is NaN"]),
    ];
    let good = PlanRequest::new(&observations, 1);
    planner.plan(&remdm(), &good).expect("good settings");
    for (change, parts) in cases {
        let mut settings = remdm();
        change(&mut settings);
        let what = format!("{settings:?}");
        refused(&what, planner.plan(&settings, &good), parts);
        refused(&what, planner.compile(&settings, 1), parts);
        refused(&what, planner.peak_bytes(&settings, 1), parts);
    }
}

#[test]
fn settings_at_the_edge_are_accepted() {
    let mut planner = tiny_planner(&Device::cpu());
    let observations = made_up(&tiny_config(), EXAMPLES);
    type Change = fn(&mut SamplerSettings);
    let cases: &[Change] = &[
        |s| s.steps = 1,
        |s| s.eta = 0.0,
        |s| s.eta = f32::MAX,
        |s| s.temperature = f32::MIN_POSITIVE,
        |s| s.temperature = f32::MAX,
        |s| s.top_p = f32::MIN_POSITIVE,
        |s| s.top_p = 1.0,
        |s| s.top_k = 1,
        |s| s.top_k = u32::MAX,
    ];
    for sampler in [SamplerKind::MaskgitRemask, SamplerKind::RemdmBernoulli] {
        for change in cases {
            let mut settings = SamplerSettings { sampler, ..remdm() };
            change(&mut settings);
            let plans = planner.plan(&settings, &PlanRequest::new(&observations, 1));
            let tokens = plans.unwrap_or_else(|e| panic!("{settings:?}: {e}")).tokens;
            assert!(tokens.iter().all(|t| (0..12).contains(t)), "{settings:?}");
        }
    }
}

fn draws(steps: usize, value: f32) -> Draws {
    let count = steps * EXAMPLES * tiny_config().seq_len;
    Draws {
        steps,
        categorical: vec![value; count],
        unmask: vec![value; count],
        remask: vec![value; count],
    }
}

#[test]
fn draws_that_do_not_fit() {
    let mut planner = tiny_planner(&Device::cpu());
    let observations = made_up(&tiny_config(), EXAMPLES);
    let mut plan = |sampler: SamplerKind, draws: &Draws| {
        let settings = SamplerSettings { sampler, ..remdm() };
        let request = PlanRequest {
            draws: Some(draws),
            ..PlanRequest::new(&observations, 1)
        };
        planner.plan(&settings, &request)
    };
    let both = [SamplerKind::MaskgitRemask, SamplerKind::RemdmBernoulli];
    type Change = fn(&mut Draws);
    let cases: &[(Change, &[&str])] = &[
        (|d| d.steps = 3, &["draws", "2 steps", "3"]),
        (|d| d.steps = 0, &["draws", "2 steps", "0"]),
        (|d| d.steps = usize::MAX, &["draws", "2 steps"]),
        (|d| d.categorical.clear(), &["u_cat", "60 numbers", "0"]),
        (
            |d| d.categorical.truncate(59),
            &["u_cat", "60 numbers", "59"],
        ),
        (|d| d.remask.push(0.5), &["u_remask", "60 numbers", "61"]),
        (|d| d.categorical[7] = f32::NAN, &["u_cat", "NaN"]),
        (|d| d.categorical[7] = 1.5, &["u_cat", "[0, 1]", "1.5"]),
        (|d| d.remask[59] = -0.1, &["u_remask", "-0.1"]),
        (|d| d.remask[0] = 1.0, &["u_remask", "[0, 1)", "1"]),
    ];
    for sampler in both {
        plan(sampler, &draws(2, 0.5)).expect("good draws");
        // A categorical draw may round up to 1.
        let mut edge = draws(2, 0.5);
        edge.categorical.fill(1.0);
        plan(sampler, &edge).expect("draws of 1");
        for (change, parts) in cases {
            let mut draws = draws(2, 0.5);
            change(&mut draws);
            refused(
                &format!("{sampler:?} {parts:?}"),
                plan(sampler, &draws),
                parts,
            );
        }
    }
    let mut bad = draws(2, 0.5);
    bad.unmask[4] = 1.0;
    let outcome = plan(SamplerKind::RemdmBernoulli, &bad);
    refused("u_unmask", outcome, &["u_unmask", "[0, 1)", "1"]);
    bad.unmask.clear();
    plan(SamplerKind::MaskgitRemask, &bad).expect("draws that are not used may be left out");
}

#[test]
fn locked_actions_hazards_and_numbers_that_do_not_fit() {
    let mut planner = tiny_planner(&Device::cpu());
    let observations = made_up(&tiny_config(), EXAMPLES);
    let length = tiny_config().seq_len;
    let good = PlanRequest::new(&observations, 1);
    let cases: &[(Vec<Vec<i32>>, &[&str])] = &[
        (vec![], &["locked actions", "3 examples", "0"]),
        (vec![vec![]; 4], &["locked actions", "3 examples", "4"]),
        (
            vec![vec![], vec![0; length + 1], vec![]],
            &["locked actions", "at most 10 actions", "11"],
        ),
        (
            vec![vec![0, 12], vec![], vec![]],
            &["locked actions", "0..12", "12"],
        ),
        (
            vec![vec![], vec![], vec![13]],
            &["locked actions", "0..12", "13"],
        ),
        (
            vec![vec![-1], vec![], vec![]],
            &["locked actions", "0..12", "-1"],
        ),
        (
            vec![vec![i32::MAX], vec![], vec![]],
            &["locked actions", "2147483647"],
        ),
        (
            vec![vec![i32::MIN], vec![], vec![]],
            &["locked actions", "-2147483648"],
        ),
    ];
    for sampler in [
        SamplerKind::Greedy,
        SamplerKind::MaskgitRemask,
        SamplerKind::RemdmBernoulli,
    ] {
        let settings = SamplerSettings { sampler, ..remdm() };
        for (locked, parts) in cases {
            let request = PlanRequest {
                locked: Some(locked),
                ..good
            };
            refused(
                &format!("{locked:?}"),
                planner.plan(&settings, &request),
                parts,
            );
        }
        let physics = SamplerSettings {
            physics_aware: true,
            ..settings
        };
        let some = [[false, true, false, true]; EXAMPLES];
        let known = PlanRequest {
            hazards: Some(&some),
            ..good
        };
        planner.plan(&physics, &known).expect("hazards");
        for hazards in [None, Some(&some[..2])] {
            let request = PlanRequest { hazards, ..good };
            let parts = ["hazards", "3 examples"];
            refused("hazards", planner.plan(&physics, &request), &parts);
        }
        let far = PlanRequest {
            first_example: u32::MAX - 1,
            ..good
        };
        let parts = ["example numbers", "4294967295", "4294967297"];
        refused("numbers", planner.plan(&physics, &far), &parts);
    }
}

#[test]
fn observations_that_do_not_fit() {
    let config = tiny_config();
    let good = made_up(&config, 2);
    let new = |change: fn(&mut Vec<i32>, &mut Vec<i32>)| {
        let (mut local, mut global) = (good.local.clone(), good.global.clone());
        change(&mut local, &mut global);
        Observations::new(&config, local, global)
    };
    new(|_, _| {}).expect("as they were");
    let none = new(|local, global| {
        local.clear();
        global.clear();
    });
    refused("none", none, &["local_obs", "at least one example"]);
    refused(
        "a glyph too few",
        new(|l, _| l.truncate(161)),
        &["local_obs", "161"],
    );
    refused(
        "a glyph too many",
        new(|l, _| l.push(1)),
        &["local_obs", "163"],
    );
    refused(
        "half a map",
        new(|_, g| g.truncate(100)),
        &["global_obs", "100"],
    );
    refused("no map", new(|_, g| g.clear()), &["global_obs", "0"]);
    let parts = ["local_obs", "0..6000", "6000 in example 1 at cell 2"];
    refused("too large", new(|l, _| l[83] = 6000), &parts);
    let parts = ["global_obs", "0..6000", "-1 in example 0 at cell 5"];
    refused("negative", new(|_, g| g[5] = -1), &parts);
    refused("huge", new(|_, g| g[5] = i32::MAX), &["2147483647"]);

    // Fields are public: what was changed after the check is checked again by the planner.
    let mut planner = tiny_planner(&Device::cpu());
    type Change = fn(&mut Observations);
    let cases: &[(Change, &str)] = &[
        (|o| o.count = 0, "local_obs"),
        (|o| o.count = 3, "local_obs"),
        (|o| o.count = usize::MAX, "local_obs"),
        (|o| o.crop = 8, "local_obs"),
        (|o| o.map = (11, 7), "global_obs"),
        (|o| o.local[0] = 6000, "local_obs"),
        (|o| o.global[0] = -7, "global_obs"),
        (|o| o.global.clear(), "global_obs"),
    ];
    for (change, array) in cases {
        let mut tampered = good.clone();
        change(&mut tampered);
        let outcome = planner.plan(&remdm(), &PlanRequest::new(&tampered, 1));
        refused(array, outcome, &[array]);
        let request = ForwardRequest {
            observations: &tampered,
            tokens: &[0; 20],
            times: &[0; 2],
        };
        refused(array, planner.forward(&request), &[array]);
        // Cutting out a part does not fail either, whatever the fields say.
        let part = tampered.slice(1..5);
        assert!(part.count <= tampered.count);
    }
    let empty = good.slice(2..2);
    assert_eq!((empty.count, good.slice(5..9).count), (0, 0));
    let outcome = planner.plan(&remdm(), &PlanRequest::new(&empty, 1));
    refused("batch of none", outcome, &["at least one example"]);
    refused("batch of none", planner.compile(&remdm(), 0), &["0"]);
    let foreign = made_up(&DenoiserConfig::default(), 1);
    let outcome = planner.plan(&remdm(), &PlanRequest::new(&foreign, 1));
    refused(
        "of another model",
        outcome,
        &["global_obs", "7 x 11", "1659 glyphs"],
    );
}

#[test]
fn arrays_of_observations_that_do_not_fit() {
    let config = tiny_config();
    let arrays = |local: Option<Array>, global: Option<Array>| {
        let mut map = ArrayMap::new("observed.npz");
        for (name, array) in [("local_obs", local), ("global_obs", global)] {
            if let Some(array) = array {
                map.insert(name, array).expect("a new name");
            }
        }
        Observations::from_arrays(&config, &map)
    };
    let ints = |shape: &[usize], value: i32| {
        let count = shape.iter().product();
        Some(Array::new(shape, vec![value; count]).expect("array"))
    };
    arrays(ints(&[2, 9, 9], 5), ints(&[2, 7, 11], 5)).expect("good arrays");
    let file = "observed.npz";
    refused("none", arrays(None, None), &[file, "local_obs"]);
    refused(
        "one",
        arrays(ints(&[2, 9, 9], 5), None),
        &[file, "global_obs"],
    );
    let flat = arrays(ints(&[162], 5), ints(&[2, 7, 11], 5));
    refused("flat", flat, &[file, "local_obs"]);
    let other = arrays(ints(&[2, 9, 9], 5), ints(&[1, 7, 11], 5));
    refused(
        "counts",
        other,
        &[file, "global_obs", "[2, 7, 11]", "[1, 7, 11]"],
    );
    let none = arrays(ints(&[0, 9, 9], 5), ints(&[0, 7, 11], 5));
    refused(
        "batch of none",
        none,
        &[file, "local_obs", "at least one example"],
    );
    let glyph = arrays(ints(&[2, 9, 9], 6001), ints(&[2, 7, 11], 5));
    refused("glyph", glyph, &[file, "local_obs", "0..6000", "6001"]);
    let nan = Array::new(&[1, 9, 9], vec![f32::NAN; 81]).expect("array");
    let nan = arrays(Some(nan), ints(&[1, 7, 11], 5));
    refused("NaN", nan, &[file, "local_obs"]);
}

#[test]
fn evaluations_that_do_not_fit() {
    let planner = tiny_planner(&Device::cpu());
    let observations = made_up(&tiny_config(), 2);
    let forward = |tokens: &[i32], times: &[i32]| {
        planner.forward(&ForwardRequest {
            observations: &observations,
            tokens,
            times,
        })
    };
    forward(&[13; 20], &[0, 99]).expect("masks, paddings and the last time");
    refused(
        "tokens",
        forward(&[0; 19], &[0; 2]),
        &["action_seq", "20 numbers", "19"],
    );
    refused(
        "token",
        forward(&[14; 20], &[0; 2]),
        &["action_seq", "0..14", "14"],
    );
    refused("token", forward(&[-1; 20], &[0; 2]), &["action_seq", "-1"]);
    refused(
        "times",
        forward(&[0; 20], &[0; 3]),
        &["t_discrete", "2 numbers", "3"],
    );
    refused(
        "time",
        forward(&[0; 20], &[0, 100]),
        &["t_discrete", "0..100", "100"],
    );
    refused("time", forward(&[0; 20], &[-1, 0]), &["t_discrete", "-1"]);
}

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
