//! DriveChunk-1 against the reference values of its specification: every drive by its hash.

use attractor::formats::{ArrayMap, safetensors};
use attractor::worlds::driving::{
    Action, CONDITION_VALUES, Decision, Drive, FRAMES, HELD_OUT_DRIVES, HISTORY, Mark,
    TARGET_VALUES, TRAINING_DRIVES, frame_of_sample, read_history, sample_of_frame, unit, words,
    write_history,
};
use attractor::worlds::driving::{Stream, sum_of_twelve};
use serde_json::Value;
use sha2::{Digest, Sha256};

fn goldens() -> (ArrayMap, Value) {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/flow/benchmark.safetensors"
    );
    let arrays = safetensors::load(file).unwrap();
    let config = serde_json::from_str(&arrays.metadata()["config"]).unwrap();
    (arrays, config)
}

/// SHA-256 of the little-endian bytes.
fn hash(values: &[f32]) -> String {
    let mut hasher = Sha256::new();
    values.iter().for_each(|v| hasher.update(v.to_le_bytes()));
    let digest = hasher.finalize();
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

#[test]
fn random_words_match_the_vectors() {
    let (_, config) = goldens();
    let vector = config["philox"].as_array().unwrap().last().unwrap();
    // The one vector that has the benchmark's own key.
    let number = |list: &str, at: usize| vector[list][at].as_u64().unwrap() as u32;
    assert_eq!(number("key", 0), 0x464C_4F57);
    assert_eq!(number("ctr", 1), Stream::Cruise as u32);
    let found = words(
        number("key", 1),
        Stream::Cruise,
        number("ctr", 0),
        number("ctr", 2),
    );
    let expected: Vec<&str> = (0..4).map(|k| vector["out"][k].as_str().unwrap()).collect();
    assert_eq!(found.map(|word| format!("{word:08x}")).to_vec(), expected);
    assert_eq!(unit(u32::MAX), 1.0 - f64::powi(2.0, -32));

    let sums = config["z12"].as_array().unwrap();
    assert_eq!(sums.len(), 6);
    for case in sums {
        let at = |name: &str| case[name].as_u64().unwrap() as u32;
        assert_eq!(at("stream"), Stream::Jitter as u32);
        let found = sum_of_twelve(at("drive"), Stream::Jitter, at("index"));
        assert_eq!(found, case["value"].as_f64().unwrap(), "{case}");
    }
}

#[test]
fn first_frames_are_exact() {
    let (arrays, config) = goldens();
    let number = config["drive"].as_u64().unwrap() as u32;
    let drive = Drive::generate(number, FRAMES);
    let conditions = arrays.expect_f32("out.cond", &[64, 12, 16]).unwrap();
    let targets = arrays.expect_f32("out.target", &[64, 6, 3]).unwrap();
    let kinds = arrays.expect_i32("out.kind", &[64]).unwrap();
    assert_eq!(
        bits(&drive.conditions[..conditions.len()]),
        bits(&conditions)
    );
    assert_eq!(bits(&drive.targets[..targets.len()]), bits(&targets));
    assert_eq!(drive.kinds[..64], kinds);
}

#[test]
fn every_drive_is_exact() {
    let (_, config) = goldens();
    let steering = |target: &[f32; TARGET_VALUES]| -> Vec<f32> {
        target.chunks(3).map(|action| action[2].abs()).collect()
    };
    assert_eq!(TRAINING_DRIVES.end, HELD_OUT_DRIVES.start);
    for number in TRAINING_DRIVES.start..HELD_OUT_DRIVES.end {
        let expected = &config["drives"][number.to_string()];
        let drive = Drive::generate(number, FRAMES);
        assert_eq!(hash(&drive.conditions), expected["cond"], "drive {number}");
        assert_eq!(hash(&drive.targets), expected["target"], "drive {number}");
        assert_eq!(drive.kinds.len(), FRAMES);
        let chunks = drive.targets.as_chunks::<TARGET_VALUES>().0;
        let count = |is: &dyn Fn(Vec<f32>) -> bool| {
            chunks.iter().filter(|chunk| is(steering(chunk))).count() as u64
        };
        let spikes = count(&|slots| slots.iter().any(|&s| s > 0.5));
        let flats = count(&|slots| slots.iter().all(|&s| s < 0.05));
        assert_eq!(spikes, expected["spike"], "drive {number}");
        assert_eq!(flats, expected["flat"], "drive {number}");
    }
}

#[test]
fn short_drives_are_prefixes() {
    let long = Drive::generate(27, 400);
    let short = Drive::generate(27, 200);
    assert_eq!(short.targets, long.targets[..200 * TARGET_VALUES]);
    assert_eq!(short.kinds, long.kinds[..200]);
    let waypoints_known = 180 * CONDITION_VALUES;
    assert_eq!(
        short.conditions[..waypoints_known],
        long.conditions[..waypoints_known]
    );
    let none = Drive::generate(27, 0);
    assert!(none.conditions.is_empty() && none.targets.is_empty() && none.kinds.is_empty());
}

#[test]
fn history_can_be_read_cleared_and_put_back() {
    let drive = Drive::generate(3, 300);
    let mut cleared = drive.conditions_without_history();
    for (sample, condition) in cleared
        .as_chunks_mut::<CONDITION_VALUES>()
        .0
        .iter_mut()
        .enumerate()
    {
        let original = drive.condition(sample).unwrap();
        let history = drive.history(sample).unwrap();
        assert_eq!(read_history(original), *history);
        assert_eq!(read_history(condition), [Action::default(); HISTORY]);
        for (at, (new, old)) in condition.iter().zip(original).enumerate() {
            // Token 0 entries 3 and 4, token 1 entries 3 to 14.
            let expected = match at {
                3 | 4 | 19..=30 => 0.0,
                _ => *old,
            };
            assert_eq!(*new, expected, "sample {sample}, value {at}");
        }
        assert!(condition != original, "sample {sample} had no history");
        write_history(condition, history);
        assert_eq!(condition, original);
    }
    // The last action of a history is the one that the sample before had to predict first.
    let raw = drive.targets.as_chunks::<3>().0[40 * 6];
    assert_eq!(Action::from_raw(raw), drive.history(41).unwrap()[5]);
    assert!(drive.history(400).is_none());
}

#[test]
fn marks_tell_the_outcomes() {
    let (mut turns, mut decisions) = (0, 0);
    for number in HELD_OUT_DRIVES {
        let drive = Drive::generate(number, FRAMES);
        let junctions = |mark: &&Mark| mark.decision == Decision::Junction;
        for mark in drive.marks.iter().filter(junctions) {
            let Some(sample) = mark.sample_before().filter(|&sample| sample < FRAMES) else {
                continue;
            };
            assert_eq!(frame_of_sample(sample) + 1, mark.frame);
            // The cue of countdown one is in token 0 of that sample.
            let condition = drive.condition(sample).unwrap();
            assert_eq!(condition[5], 1.0);
            assert_eq!(condition[6], (1.0_f64 / 6.0) as f32);
            assert!((f64::from(condition[7]) - mark.probability).abs() < 0.2);
            if let Some(&kind) = sample_of_frame(mark.frame).and_then(|at| drive.kinds.get(at)) {
                assert!(matches!(kind, 2 | 3), "{kind}");
                turns += usize::from(kind == 2);
                decisions += 1;
            }
        }
    }
    // Section 14 of the specification counts 44 + 46 + 60 + 50 of them.
    assert_eq!(decisions, 200);
    assert!((80..130).contains(&turns), "{turns} of {decisions}");
}
