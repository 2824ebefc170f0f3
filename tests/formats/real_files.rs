//! Files that PyTorch 2.15 and numpy wrote.

use attractor::formats::pickle::PickleValue;
use attractor::formats::torch::{Checkpoint, StateDict};
use attractor::formats::{ArrayData, ArrayMap, DType, load_arrays, npz, safetensors};

use crate::support::data;

/// Same names, shapes, types and elements; the order may differ.
fn assert_same(found: &ArrayMap, expected: &ArrayMap) {
    assert_eq!(found.len(), expected.len());
    for (name, array) in expected.iter() {
        assert_eq!(found.get(name).expect("name"), array, "{name}");
    }
    assert_eq!(found.content_hash(), expected.content_hash());
}

#[test]
fn every_tensor_of_a_state_dict() {
    let found = load_arrays(data("torch_state_dict.pth")).expect("checkpoint");
    let expected = safetensors::load(data("torch_state_dict.safetensors")).expect("expected");
    assert_eq!(expected.len(), 23);
    assert_same(&found, &expected);
    assert_eq!(
        found.names().next(),
        Some("contiguous"),
        "order of the file"
    );
    assert_eq!(found.get("transposed").expect("t").shape(), [6, 4]);
    assert_eq!(found.get("bf16").expect("bf16").dtype(), DType::BF16);
    assert_eq!(found.get("scalar").expect("scalar").shape(), [0_usize; 0]);
    assert_eq!(found.get("empty").expect("empty").shape(), [0, 4]);
}

#[test]
fn a_training_checkpoint_gives_the_averaged_weights() {
    let path = data("torch_dagger.pth");
    let both = safetensors::load(data("torch_dagger.safetensors")).expect("expected");
    let part = |prefix: &str| {
        let mut map = ArrayMap::new("expected");
        for (name, array) in both.iter() {
            if let Some(name) = name.strip_prefix(prefix) {
                map.insert(name, array.clone()).expect("once");
            }
        }
        map
    };
    assert_same(&load_arrays(&path).expect("checkpoint"), &part("ema."));

    let checkpoint = Checkpoint::load(&path).expect("checkpoint");
    let choice = StateDict {
        key: Some("model_state_dict".to_owned()),
        ..StateDict::default()
    };
    assert_same(
        &checkpoint.state_dict(&choice).expect("model"),
        &part("model."),
    );

    let missing = StateDict {
        key: Some("weights".to_owned()),
        ..StateDict::default()
    };
    let error = checkpoint
        .state_dict(&missing)
        .expect_err("no such key")
        .to_string();
    assert!(error.contains("torch_dagger.pth"), "{error}");
    assert!(
        error.contains("under 'weights'") && error.contains("'ema_state_dict'"),
        "{error}"
    );
}

#[test]
fn the_rest_of_a_training_checkpoint_is_kept_inert() {
    let checkpoint = Checkpoint::load(data("torch_dagger.pth")).expect("checkpoint");
    let root = checkpoint.root();
    let at = |path: &[&str]| {
        path.iter()
            .try_fold(root, |value, key| value.get(key))
            .unwrap_or_else(|| panic!("{path:?}"))
    };
    assert_eq!(at(&["iteration"]).as_int(), Some(7));
    assert_eq!(at(&["env_steps"]).as_int(), Some(123_456_789_012));
    assert!(matches!(at(&["wandb_run_id"]), PickleValue::None));
    let queue = at(&["curriculum_state", "queues", "Room-5x5"])
        .items()
        .expect("a deque");
    assert!(matches!(
        queue,
        [PickleValue::Bool(true), PickleValue::Bool(false)]
    ));
    let ids = at(&["curriculum_state", "env_ids"])
        .items()
        .expect("a list");
    assert_eq!(ids[1].as_str(), Some("Room-15x15"));
    // 2^80: eleven bytes, the last one for the sign.
    let PickleValue::BigInt(big) = at(&["curriculum_state", "big"]) else {
        panic!("a large integer");
    };
    assert_eq!(big.as_ref(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    assert!(matches!(at(&["dtype"]), PickleValue::Global(name) if &**name == "torch.float32"));
    assert_eq!(at(&["size"]).items().map(<[_]>::len), Some(2));
    let PickleValue::Opaque(generator) = at(&["rng_states", "generator"]) else {
        panic!("an opaque generator");
    };
    assert_eq!(&*generator.name, "numpy.random._pickle.__generator_ctor");
    let PickleValue::Tensor(state) = at(&["rng_states", "torch"]) else {
        panic!("a tensor");
    };
    let state = checkpoint.tensor("rng", state).expect("rng state");
    assert_eq!((state.dtype(), state.shape()), (DType::U8, &[5056][..]));
    assert!(
        at(&["optimizer_state_dict", "state"])
            .describe()
            .starts_with("a dict of 5")
    );
}

#[test]
fn protocol_4_and_wrapper_prefixes() {
    let path = data("torch_compiled_protocol4.pth");
    let kept = load_arrays(&path).expect("checkpoint");
    assert_eq!(
        kept.names().collect::<Vec<_>>(),
        ["_orig_mod.weight", "_orig_mod.bias"],
        "nothing is stripped unasked"
    );
    let choice = StateDict {
        strip_prefixes: true,
        ..StateDict::default()
    };
    let stripped = Checkpoint::load(&path)
        .and_then(|checkpoint| checkpoint.state_dict(&choice))
        .expect("checkpoint");
    assert_eq!(stripped.names().collect::<Vec<_>>(), ["weight", "bias"]);
    assert_eq!(stripped.get("bias").expect("bias").shape(), [2]);
}

#[test]
fn arrays_of_numpy() {
    let map = load_arrays(data("numpy_arrays.npz")).expect("npz");
    assert_eq!(
        map.expect_f64("f8", &[2, 3]).expect("f8"),
        [0., 1., 2., 3., 4., 5.]
    );
    assert_eq!(
        map.expect_i32("big", &[3, 2]).expect("big"),
        [0, 1, 2, 3, 4, 5]
    );
    let fortran = map.expect_f32("fortran", &[2, 3, 4]).expect("fortran");
    assert!(
        fortran
            .iter()
            .enumerate()
            .all(|(i, value)| *value == i as f32)
    );
    assert_eq!(map.expect_f32("half", &[2]).expect("half"), [1.5, -2.]);
    assert_eq!(map.expect_bool("flag", &[2]).expect("flag"), [true, false]);
    assert_eq!(map.expect_i64("zero", &[]).expect("zero"), [5]);
    assert_eq!(
        map.get("empty").expect("empty").data(),
        &ArrayData::U16(Vec::new())
    );
    assert_eq!(
        map.expect_strings("names", &[3]).expect("names"),
        ["wall", "żółw", ""]
    );
    assert_eq!(map.expect_strings("raw", &[2]).expect("raw"), ["ab", "c"]);
    assert_eq!(
        map.expect_strings("bigname", &[2]).expect("bigname"),
        ["x", "yz"]
    );
}

#[test]
fn recorded_observations() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/assets/minihack_eval_observations.npz"
    );
    let map = npz::load(path).expect("observations");
    assert_eq!(
        map.expect("global_obs", &[350, 21, 79])
            .expect("global")
            .dtype(),
        DType::I16
    );
    assert_eq!(
        map.expect("local_obs", &[350, 9, 9])
            .expect("local")
            .dtype(),
        DType::I16
    );
    let names = map.expect_strings("env_names", &[7]).expect("names");
    assert!(
        names.iter().all(|name| name.starts_with("MiniHack-")),
        "{names:?}"
    );
    let environments = map.expect_i32("env", &[350]).expect("env");
    assert!(environments.iter().all(|env| (0..7).contains(env)));
}
