//! Feature caches: what is written is read back, and what is not a cache of schema 2 is refused by name.

use std::path::Path;

use attractor::formats::feature_cache::{
    CacheExpectation, CacheMeta, Conditions, FeatureCache, FeatureCacheError,
};
use attractor::formats::{Array, ArrayData, ArrayMap, DType, Limits, safetensors};
use half::f16;

use crate::mutation::mutate;
use crate::support::XorShift;

const ANYTHING: CacheExpectation = CacheExpectation {
    model_artifact: None,
    condition_tokens: None,
    action_keys: None,
};

/// Three rows, two tokens of width four, two actions of one channel, five steps of history.
fn small() -> FeatureCache {
    let conditions: Vec<f32> = (0..24).map(|k| k as f32 / 8.0).collect();
    FeatureCache {
        meta: CacheMeta {
            model_artifact: "encoder:v7".to_owned(),
            condition_tokens: vec!["summary".to_owned(), "route".to_owned()],
            history_steps: 5,
            action_keys: vec!["steering".to_owned()],
        },
        condition_dim: 4,
        horizon: 2,
        conditions: Conditions::halved(&conditions).unwrap(),
        target_actions: vec![0.1, -0.2, 0.3, -0.4, 0.5, -0.6],
        frame_idx: (0..15).collect(),
        time_stamp: (0..15).map(|k| (1_i64 << 53) + 1 + k).collect(),
        input_id: ["a", "längere/001", ""].map(str::to_owned).to_vec(),
    }
}

fn parse(map: &ArrayMap) -> Result<FeatureCache, FeatureCacheError> {
    let bytes = safetensors::to_bytes(map).unwrap();
    FeatureCache::parse(map.file(), &bytes, &Limits::default(), &ANYTHING)
}

/// The arrays of the small cache with one replaced, or left out.
fn with(name: &str, replacement: Option<Array>) -> ArrayMap {
    let whole = small().to_arrays(Path::new("cache.safetensors")).unwrap();
    let mut map = ArrayMap::new(whole.file());
    *map.metadata_mut() = whole.metadata().clone();
    for (known, array) in whole.iter().filter(|(known, _)| *known != name) {
        map.insert(known, array.clone()).unwrap();
    }
    if let Some(array) = replacement {
        map.insert(name, array).unwrap();
    }
    map
}

fn with_meta(meta: Option<&str>) -> ArrayMap {
    let mut map = with("", None);
    map.metadata_mut().clear();
    if let Some(meta) = meta {
        map.metadata_mut().insert("meta".into(), meta.into());
    }
    map
}

fn complaint(map: &ArrayMap) -> String {
    parse(map).unwrap_err().to_string()
}

fn assert_words(complaint: &str, words: &[&str]) {
    assert!(complaint.starts_with("cache.safetensors"), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    for word in words {
        assert!(complaint.contains(word), "no \"{word}\" in: {complaint}");
    }
}

#[test]
fn what_is_written_is_read() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let file = folder.join("feature_cache.safetensors");
    let mut cache = small();
    for precise in [false, true] {
        if precise {
            cache.conditions = Conditions::Single(vec![0.1; 24]);
        }
        cache.save(&file).unwrap();
        assert_eq!(FeatureCache::load(&file, &ANYTHING).unwrap(), cache);
        let kind = safetensors::load(&file).unwrap();
        let expected = if precise { DType::F32 } else { DType::F16 };
        assert_eq!(kind.get("cond").unwrap().dtype(), expected);
    }
    assert_eq!(cache.rows(), 3);
    assert_eq!(cache.condition(2).unwrap(), vec![0.1; 8]);
    assert_eq!(cache.target(1).unwrap(), [0.3, -0.4]);
    assert_eq!(cache.frame(1), Some(9));
    assert!(cache.condition(3).is_none() && cache.target(3).is_none() && cache.frame(3).is_none());

    let empty = FeatureCache {
        conditions: Conditions::Half(Vec::new()),
        target_actions: Vec::new(),
        frame_idx: Vec::new(),
        time_stamp: Vec::new(),
        input_id: Vec::new(),
        ..small()
    };
    let map = empty.to_arrays(Path::new("empty")).unwrap();
    assert_eq!(parse(&map).unwrap(), empty);
}

#[test]
fn rows_that_are_not_finite_are_told() {
    let mut cache = small();
    assert_eq!(cache.rows_finite(), [true; 3]);
    cache.target_actions[1] = f32::NAN;
    if let Conditions::Half(values) = &mut cache.conditions {
        values[23] = f16::INFINITY;
    }
    let map = cache.to_arrays(Path::new("cache.safetensors")).unwrap();
    let read = parse(&map).unwrap();
    assert_eq!(read.rows_finite(), [false, true, false]);
    assert!(read.target(0).unwrap()[1].is_nan());
}

#[test]
fn rounding_to_half_is_checked() {
    let Conditions::Half(halves) = Conditions::halved(&[1.0 / 3.0, f32::NAN, 65504.0]).unwrap()
    else {
        panic!("not halves");
    };
    assert_eq!(halves[0].to_bits(), 0x3555);
    assert!(halves[1].is_nan());
    let error = Conditions::halved(&[0.0, 70000.0]).unwrap_err().to_string();
    assert!(error.contains("70000") && error.contains("index 1") && error.contains("F16"));
}

#[test]
fn other_schemas_are_stale() {
    let stale = complaint(&with("time_stamp", None));
    assert_words(&stale, &["stale", "schema 2", "schema 1"]);
    let newer = complaint(&with_meta(Some("{\"schema\": 3, \"other\": []}")));
    assert_words(&newer, &["stale", "schema 2", "schema 3"]);
    // Neither conditions nor times: some other file.
    let mut other = ArrayMap::new("cache.safetensors");
    other
        .insert("weight", Array::new(&[1], vec![1.0_f32]).unwrap())
        .unwrap();
    assert_words(&complaint(&other), &["'cond'", "found none"]);
}

#[test]
fn caches_of_another_encoder_are_refused() {
    let map = with("", None);
    let bytes = safetensors::to_bytes(&map).unwrap();
    let parse = |expectation: &CacheExpectation| {
        FeatureCache::parse(map.file(), &bytes, &Limits::default(), expectation)
    };
    let right = CacheExpectation {
        model_artifact: Some("encoder:v7"),
        condition_tokens: Some(&["summary", "route"]),
        action_keys: Some(&["steering"]),
    };
    assert_eq!(parse(&right).unwrap(), small());
    let other = parse(&CacheExpectation {
        model_artifact: Some("encoder:v8"),
        ..right
    });
    assert!(matches!(&other, Err(FeatureCacheError::Encoder { .. })));
    assert_words(
        &other.unwrap_err().to_string(),
        &["encoder:v8", "encoder:v7"],
    );
    for tokens in [&["route", "summary"][..], &["summary"]] {
        let other = parse(&CacheExpectation {
            condition_tokens: Some(tokens),
            ..right
        });
        let words = ["condition_tokens", &tokens.join(", "), "summary, route"];
        assert_words(&other.unwrap_err().to_string(), &words);
    }
    let other = parse(&CacheExpectation {
        action_keys: Some(&["gas"]),
        ..right
    });
    assert_words(
        &other.unwrap_err().to_string(),
        &["action_keys", "gas", "steering"],
    );
}

#[test]
fn shapes_and_types_must_agree() {
    let floats = |shape: &[usize]| {
        let count = shape.iter().product();
        Some(Array::new(shape, vec![0.0_f32; count]).unwrap())
    };
    let of = |shape: &[usize], data: ArrayData| Some(Array::new(shape, data).unwrap());
    for (name, array, words) in [
        ("cond", floats(&[3, 8]), &["[N, S, Dc]", "[3, 8]"][..]),
        ("cond", floats(&[3, 3, 4]), &["[3, 2, 4]", "[3, 3, 4]"]),
        ("cond", floats(&[3, 2, 0]), &["width", "0"]),
        (
            "cond",
            of(&[3, 2, 4], vec![0.0_f64; 24].into()),
            &["F16 or F32", "F64"],
        ),
        ("target_actions", floats(&[2, 2, 1]), &["[3, 2, 1]"]),
        ("target_actions", floats(&[3, 2, 2]), &["[3, 2, 1]"]),
        ("target_actions", floats(&[3, 0, 1]), &["horizon", "0"]),
        (
            "target_actions",
            of(&[3, 2, 1], vec![f16::ZERO; 6].into()),
            &["F32", "F16"],
        ),
        (
            "frame_idx",
            of(&[3, 4], vec![0_i32; 12].into()),
            &["[3, 5]", "[3, 4]"],
        ),
        (
            "frame_idx",
            of(&[3, 5], vec![0_i64; 15].into()),
            &["I32", "I64"],
        ),
        (
            "time_stamp",
            of(&[2, 5], vec![0_i64; 10].into()),
            &["[3, 5]"],
        ),
        (
            "time_stamp",
            of(&[3, 5], vec![0_i32; 15].into()),
            &["I64", "I32"],
        ),
        ("input_id", of(&[4, 2], vec![0_u8; 8].into()), &["[3, 2]"]),
        ("input_id", of(&[3], vec![0_u8; 3].into()), &["[N, width]"]),
        (
            "input_id",
            of(&[3, 0], Vec::<u8>::new().into()),
            &["width", "0"],
        ),
        (
            "input_id",
            of(&[3, 1], vec![b'a', 0xff, b'b'].into()),
            &["UTF-8", "row 1"],
        ),
        (
            "input_id",
            of(&[3, 2], vec![b'a', b'b', b'a', 0, 0, b'b'].into()),
            &["zero bytes", "row 2"],
        ),
        ("input_id", of(&[3, 2], vec![0_i8; 6].into()), &["U8", "I8"]),
    ] {
        assert_words(&complaint(&with(name, array)), words);
    }
    for name in ["cond", "target_actions", "frame_idx", "input_id"] {
        assert_words(&complaint(&with(name, None)), &[name, "found none"]);
    }
}

#[test]
fn damaged_caches_are_refused_or_whole() {
    let map = with("", None);
    let seed = safetensors::to_bytes(&map).unwrap();
    let mut random = XorShift(0x5eed_cafe);
    let (mut loaded, mut refused) = (0, 0);
    for _ in 0..40_000 {
        let bytes = mutate(&mut random, &seed, &seed);
        match FeatureCache::parse(map.file(), &bytes, &Limits::default(), &ANYTHING) {
            Ok(cache) => {
                loaded += 1;
                let rows = cache.rows();
                assert_eq!(cache.rows_finite().len(), rows);
                let known = |row| {
                    cache.condition(row).is_some()
                        && cache.target(row).is_some()
                        && cache.frame(row).is_some()
                };
                assert!((0..rows).all(known) && !known(rows));
            }
            Err(error) => {
                refused += 1;
                assert_eq!(error.to_string().lines().count(), 1, "{error}");
            }
        }
    }
    // Damage to the numbers loads, damage to the header does not.
    assert!(loaded > 1000 && refused > 1000, "{loaded} {refused}");
}

#[test]
fn descriptions_must_be_whole() {
    assert_words(&complaint(&with_meta(None)), &["'meta'", "no such entry"]);
    let meta = "{\"schema\": 2, \"model_artifact\": \"m\", \"condition_tokens\": [], \
                \"history_steps\": 5, \"action_keys\": [\"a\"]}";
    for (text, word) in [
        ("nonsense", "JSON"),
        ("{\"schema\": 2}", "model_artifact"),
        (meta, "condition_tokens of at least 1"),
    ] {
        assert_words(&complaint(&with_meta(Some(text))), &["'meta'", word]);
    }
    let huge = meta
        .replace("[]", "[\"s\"]")
        .replace(": 5", ": 18446744073709551615");
    assert_words(&complaint(&with_meta(Some(&huge))), &["cond", "[3, 1, 4]"]);
}

#[test]
fn what_cannot_be_written_is_refused() {
    type Change = fn(&mut FeatureCache);
    let changes: [(Change, &str); 6] = [
        (|cache| cache.horizon = 3, "target_actions"),
        (|cache| cache.condition_dim = 0, "width"),
        (|cache| cache.time_stamp.truncate(14), "time_stamp"),
        (|cache| cache.meta.history_steps = usize::MAX, "frame_idx"),
        (|cache| cache.input_id[1] = "a\0b".into(), "zero byte"),
        (|cache| cache.input_id[2] = "x".repeat(2000), "2000 bytes"),
    ];
    for (change, word) in changes {
        let mut cache = small();
        change(&mut cache);
        let error = cache.to_arrays(Path::new("cache.safetensors")).unwrap_err();
        assert_words(&error.to_string(), &[word]);
    }
}
