//! Files that are not what they should be.

use crate::support::{
    CONFIG, OBSERVATIONS, WEIGHTS, attractor, observations_with, plan_shipped, refused, scratch,
    weights_with,
};
use attractor::formats::{Array, safetensors};
use std::io::Write;
use std::path::Path;

fn plan_with_weights(weights: &Path, words: &[&str]) {
    let weights = weights.to_str().unwrap();
    let output = attractor([
        "plan",
        "--weights",
        weights,
        "--config",
        CONFIG,
        "--obs",
        OBSERVATIONS,
        "--limit",
        "1",
    ]);
    let mut all = vec![weights];
    all.extend(words);
    refused(&output, 2, &all);
}

fn plan_with_observations(observations: &Path, words: &[&str]) {
    let observations = observations.to_str().unwrap();
    let output = attractor(["plan", "--weights", WEIGHTS, "--obs", observations]);
    let mut all = vec![observations];
    all.extend(words);
    refused(&output, 2, &all);
}

fn written(name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let file = scratch(name);
    std::fs::write(&file, bytes).unwrap();
    file
}

#[test]
fn weights_of_the_wrong_kind() {
    plan_with_weights(
        &written("text.safetensors", b"these are not weights"),
        &["found"],
    );
    plan_with_weights(&written("empty.safetensors", b""), &["empty"]);
    plan_with_weights(&scratch("nowhere.safetensors"), &["cannot open"]);
    plan_with_weights(Path::new(env!("CARGO_TARGET_TMPDIR")), &["folder"]);
    // An archive of arrays is read, but holds no weights.
    plan_with_weights(Path::new(OBSERVATIONS), &["expected", "found"]);
}

#[test]
fn weights_that_are_not_there_are_said_to_be() {
    let nowhere = scratch("nowhere.safetensors");
    let nowhere = nowhere.to_str().unwrap();
    let output = attractor(["plan", "--weights", nowhere, "--obs", OBSERVATIONS]);
    refused(&output, 2, &[nowhere, "cannot open"]);
}

#[test]
fn a_goal_that_is_not_finite_is_a_numeric_failure() {
    let huge = Array::new(&[2, 128], vec![3e38_f32; 256]).unwrap();
    let file = weights_with("huge_goal.safetensors", "goal_head.2.weight", Some(huge));
    let file = file.to_str().unwrap();
    let arguments = [
        "plan",
        "--weights",
        file,
        "--config",
        CONFIG,
        "--obs",
        OBSERVATIONS,
    ];
    let output = attractor(arguments.into_iter().chain(["--limit", "1"]));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{complaint}");
    let last = complaint.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("error: ") && last.contains("goal"),
        "{complaint}"
    );
}

#[test]
fn truncated_and_lying_safetensors() {
    let whole = std::fs::read(WEIGHTS).unwrap();
    plan_with_weights(
        &written("truncated.safetensors", &whole[..whole.len() / 2]),
        &["expected", "found"],
    );
    let mut lying = whole[..64].to_vec();
    lying[..8].copy_from_slice(&u64::MAX.to_le_bytes());
    plan_with_weights(
        &written("lying.safetensors", &lying),
        &["expected", "found"],
    );
}

#[test]
fn a_pickle_that_calls_something() {
    let file = scratch("calls.pth");
    let mut zip = zip::ZipWriter::new(std::fs::File::create(&file).unwrap());
    let options =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    zip.start_file("archive/data.pkl", options).unwrap();
    zip.write_all(b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.")
        .unwrap();
    zip.start_file("archive/version", options).unwrap();
    zip.write_all(b"3\n").unwrap();
    zip.finish().unwrap();
    plan_with_weights(&file, &["os.system", "data.pkl"]);
}

#[test]
fn tensors_that_do_not_fit() {
    plan_with_weights(
        &weights_with("missing.safetensors", "head.bias", None),
        &["head.bias"],
    );
    let zeros = |shape: &[usize]| Array::new(shape, vec![0_f32; shape.iter().product()]).unwrap();
    plan_with_weights(
        &weights_with("extra.safetensors", "tail.bias", Some(zeros(&[3]))),
        &["tail.bias"],
    );
    plan_with_weights(
        &weights_with("misshapen.safetensors", "head.bias", Some(zeros(&[7]))),
        &["head.bias", "12", "7"],
    );
    let nan = Array::new(&[12], vec![f32::NAN; 12]).unwrap();
    plan_with_weights(
        &weights_with("nan.safetensors", "head.bias", Some(nan)),
        &["head.bias", "finite", "NaN"],
    );
    let integers = Array::new(&[12], vec![1_i64; 12]).unwrap();
    plan_with_weights(
        &weights_with("integers.safetensors", "head.bias", Some(integers)),
        &["head.bias", "I64"],
    );
}

#[test]
fn observations_that_do_not_fit() {
    plan_with_observations(&written("text.npz", b"nor is this"), &["found"]);
    let whole = std::fs::read(OBSERVATIONS).unwrap();
    plan_with_observations(&written("truncated.npz", &whole[..whole.len() / 2]), &[]);
    let crops = |value: i16| Array::new(&[2, 9, 9], vec![value; 162]).unwrap();
    plan_with_observations(
        &observations_with("high.npz", 2, "local_obs", crops(6000)),
        &["local_obs", "6000"],
    );
    plan_with_observations(
        &observations_with("negative.npz", 2, "local_obs", crops(-1)),
        &["local_obs", "-1"],
    );
    let nan = Array::new(&[2, 9, 9], vec![f32::NAN; 162]).unwrap();
    plan_with_observations(
        &observations_with("nan.npz", 2, "local_obs", nan),
        &["local_obs", "expected"],
    );
    let small = Array::new(&[2, 7, 7], vec![2378_i16; 98]).unwrap();
    plan_with_observations(
        &observations_with("small.npz", 2, "local_obs", small),
        &["local_obs", "9", "7"],
    );
    let none = Array::new(&[0, 9, 9], Vec::<i16>::new()).unwrap();
    plan_with_observations(
        &observations_with("none.npz", 0, "local_obs", none),
        &["local_obs", "at least one", "none"],
    );
    let fewer = Array::new(&[1, 21, 79], vec![2378_i16; 1659]).unwrap();
    plan_with_observations(
        &observations_with("fewer.npz", 2, "global_obs", fewer),
        &["global_obs", "2", "1"],
    );
}

#[test]
fn configurations_that_do_not_fit() {
    let alone = scratch("alone.safetensors");
    std::fs::copy(WEIGHTS, &alone).unwrap();
    let output = attractor([
        "plan",
        "--weights",
        alone.to_str().unwrap(),
        "--obs",
        OBSERVATIONS,
    ]);
    refused(&output, 2, &["alone.json", "--config"]);

    for (name, content, words) in [
        ("broken.json", "{\"config\":", &["not JSON"][..]),
        (
            "heads.json",
            "{\"n_head\": 3}",
            &["n_embd", "multiple of n_head"],
        ),
        ("zero.json", "{\"seq_len\": 0}", &["seq_len", "1..="]),
        (
            "type.json",
            "{\"config\": {\"n_embd\": \"wide\"}}",
            &["string"],
        ),
        ("eta.json", "{\"eta\": \"much\"}", &["eta", "string"]),
        ("other.json", "{}", &["expected", "found"]),
    ] {
        let file = written(name, content.as_bytes());
        let output = attractor(plan_shipped(&["--config", file.to_str().unwrap()]));
        // What does not fit the weights is reported with the name of the weights.
        let culprit = if name == "other.json" { WEIGHTS } else { name };
        refused(&output, 2, &[&[culprit], words].concat());
    }
}

#[test]
fn draws_that_do_not_fit() {
    let file = scratch("draws.safetensors");
    let mut draws = attractor::formats::ArrayMap::new(&file);
    let few = Array::new(&[2, 350, 32], vec![0.5_f32; 2 * 350 * 32]).unwrap();
    draws.insert("u_cat", few).unwrap();
    safetensors::save(&file, &draws).unwrap();
    let arguments = plan_shipped(&["--limit", "1", "--draws", file.to_str().unwrap()]);
    refused(
        &attractor(arguments),
        2,
        &[
            "draws.safetensors",
            "u_cat",
            "[10, 350, 32]",
            "[2, 350, 32]",
        ],
    );
}

#[test]
fn a_network_whose_numbers_overflow() {
    let huge = Array::new(&[12, 128], vec![f32::MAX; 12 * 128]).unwrap();
    let weights = weights_with("overflow.safetensors", "head.weight", Some(huge));
    let weights = weights.to_str().unwrap();
    let output = attractor([
        "plan",
        "--weights",
        weights,
        "--config",
        CONFIG,
        "--obs",
        OBSERVATIONS,
        "--limit",
        "1",
    ]);
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(5), "{complaint}");
    let last = complaint.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("error: ") && last.contains("not finite"),
        "{complaint}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn draws_out_of_range() {
    let file = scratch("draws_of_one.safetensors");
    let mut draws = attractor::formats::ArrayMap::new(&file);
    let shape = [10, 350, 32];
    for name in ["u_cat", "u_unmask", "u_remask"] {
        let ones = vec![1_f32; shape.iter().product()];
        draws
            .insert(name, Array::new(&shape, ones).unwrap())
            .unwrap();
    }
    safetensors::save(&file, &draws).unwrap();
    let arguments = plan_shipped(&["--limit", "1", "--draws", file.to_str().unwrap()]);
    refused(
        &attractor(arguments),
        2,
        &[
            "draws_of_one.safetensors",
            "u_cat",
            "[0, 1)",
            "1 at index 0",
        ],
    );
}
