//! `attractor drive generate`: what is in the file, and what is refused.

use crate::support::{attractor, good, refused, scratch};
use attractor::formats::feature_cache::{CacheExpectation, Conditions, FeatureCache};
use attractor::worlds::driving::{
    CHANNELS, CONDITION_TOKENS, Drive, MODEL_ARTIFACT, MODEL_ARTIFACT_WITHOUT_HISTORY,
};
use std::path::Path;

fn generate(out: &Path, more: &[&str]) -> std::process::Output {
    let start = ["drive", "generate", "--out", out.to_str().unwrap()];
    attractor(start.iter().chain(more))
}

fn load(file: &Path, model_artifact: &str) -> FeatureCache {
    let expectation = CacheExpectation {
        model_artifact: Some(model_artifact),
        condition_tokens: Some(&CONDITION_TOKENS),
        action_keys: Some(&CHANNELS),
    };
    FeatureCache::load(file, &expectation).unwrap()
}

#[test]
fn a_file_holds_the_drives_asked_for() {
    let file = scratch("drives.safetensors");
    let arguments = ["--drives", "24, 2-3", "--frames", "130", "--precision"];
    let text = good(&generate(
        &file,
        &[&arguments[..], &["f32", "--force"]].concat(),
    ));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(
        lines[0].contains("junctions") && lines[1].contains("held out"),
        "{text}"
    );

    let cache = load(&file, MODEL_ARTIFACT);
    assert_eq!(cache.rows(), 390);
    let drives = [24, 2, 3].map(|number| Drive::generate(number, 130));
    let conditions = drives.each_ref().map(|drive| drive.conditions.clone());
    assert_eq!(cache.conditions, Conditions::Single(conditions.concat()));
    let targets = drives.each_ref().map(|drive| drive.targets.clone());
    assert_eq!(cache.target_actions, targets.concat());
    assert_eq!(cache.input_id[129], "drive-24/000129");
    assert_eq!(cache.input_id[130], "drive-2/000000");
    assert_eq!(cache.frame_idx[..6], [0, 1, 2, 3, 4, 5]);
    assert_eq!(cache.frame(389), Some(134));
    assert_eq!(cache.time_stamp[389 * 6 + 5], 134);

    // The same again in f16, which is the default.
    let half = scratch("drives_half.safetensors");
    good(&generate(
        &half,
        &["--drives", "24,2-3", "--frames", "130", "--force"],
    ));
    let rounded = Conditions::halved(&conditions.concat()).unwrap();
    assert_eq!(load(&half, MODEL_ARTIFACT).conditions, rounded);
}

#[test]
fn history_is_cleared_on_request() {
    let file = scratch("drives_zeroed.safetensors");
    let flags = ["--drives", "5", "--frames", "40", "--history-zeroed"];
    let more = ["--precision", "f32", "--force", "--format", "json"];
    let text = good(&generate(&file, &[&flags[..], &more].concat()));
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["rows"], 40);
    assert_eq!(json["cond"], serde_json::json!([40, 12, 16]));
    assert_eq!(json["cond_precision"], "f32");
    assert_eq!(json["model_artifact"], MODEL_ARTIFACT_WITHOUT_HISTORY);
    assert_eq!(json["drives"][0]["part"], "training");
    assert_eq!(json["drives"][0]["samples"], 40);

    let drive = Drive::generate(5, 40);
    let expected = Conditions::Single(drive.conditions_without_history());
    let cache = load(&file, MODEL_ARTIFACT_WITHOUT_HISTORY);
    assert_eq!(cache.conditions, expected);
    assert_eq!(cache.target_actions, drive.targets);
}

#[test]
fn files_are_kept_unless_forced() {
    let file = scratch("drives_kept.safetensors");
    std::fs::write(&file, b"mine").unwrap();
    let small = ["--drives", "0", "--frames", "8"];
    let name = file.to_str().unwrap();
    refused(&generate(&file, &small), 2, &[name, "exists", "--force"]);
    assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    good(&generate(&file, &[&small[..], &["--force"]].concat()));
    assert_eq!(load(&file, MODEL_ARTIFACT).rows(), 8);

    let blocked = file.join("inside.safetensors");
    let words = [blocked.to_str().unwrap(), "cannot write"];
    refused(&generate(&blocked, &small), 2, &words);
}

#[test]
fn lists_and_counts_that_make_no_sense() {
    let file = scratch("drives_never.safetensors");
    for (flags, words) in [
        (&["--drives", "29"][..], &["0 to 28", "29"][..]),
        (&["--drives", "0-4000000000"], &["0 to 28", "4000000000"]),
        (&["--drives", "5-3"], &["go up", "5-3"]),
        (&["--drives", "1,0-3"], &["once", "1 twice"]),
        (&["--drives", "1,,2"], &["numbers and ranges", "1,,2"]),
        (&["--drives", ""], &["numbers and ranges"]),
        (&["--drives", "1-2-3"], &["numbers and ranges", "2-3"]),
        (&["--drives", "+all"], &["numbers and ranges", "+all"]),
        (&["--frames", "0"], &["--frames", "at least 1"]),
        (
            &["--frames", "18446744073709551615"],
            &["--frames", "at most", "18446744073709551615"],
        ),
        (&["--precision", "f8"], &["f8", "f16"]),
    ] {
        refused(&generate(&file, flags), 2, words);
        assert!(!file.exists());
    }
    refused(&attractor(["drive", "generate"]), 2, &["--out"]);
}
