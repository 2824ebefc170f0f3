use attractor::analysis::flow::{
    Chunks, Draws, FlowDataError, Panel, PanelConfig, PanelInput, SteeringSeries, evaluate, fan,
};
use serde_json::Value;

use crate::support::{config, noise, tensors};

/// Relative; the numbers of the reference differ by the order of their sums alone.
const TOLERANCE: f64 = 1e-14;

/// Every number below `expected` against the one in the same place, counting them.
fn compare(place: &str, found: &Value, expected: &Value, compared: &mut usize) {
    match expected {
        Value::Object(entries) => {
            for (key, expected) in entries {
                compare(&format!("{place}/{key}"), &found[key], expected, compared);
            }
        }
        Value::Array(entries) => {
            assert_eq!(
                found.as_array().map(Vec::len),
                Some(entries.len()),
                "{place}"
            );
            for (index, expected) in entries.iter().enumerate() {
                compare(
                    &format!("{place}/{index}"),
                    &found[index],
                    expected,
                    compared,
                );
            }
        }
        Value::Number(expected) => {
            let expected = expected.as_f64().unwrap();
            let found = found.as_f64().unwrap_or_else(|| panic!("{place}: {found}"));
            let error = (found - expected).abs();
            assert!(
                error <= TOLERANCE * expected.abs().max(1e-3),
                "{place}: {found} and {expected}"
            );
            *compared += 1;
        }
        _ => {
            assert_eq!(found, expected, "{place}");
            *compared += 1;
        }
    }
}

#[test]
fn panel_of_the_reference() {
    let golden = config("evaluation");
    let arrays = tensors("evaluation");
    let truth = arrays.expect_f32("in.gt", &[600, 6, 3]).unwrap();
    let draws = arrays.expect_f32("in.draws", &[600, 16, 6, 3]).unwrap();
    let constant = arrays
        .expect_f32("in.constant_draws", &[600, 16, 6])
        .unwrap();
    let thresholds = golden["thresholds"].as_array().unwrap();
    let thresholds = thresholds.iter().map(|value| value.as_f64().unwrap());
    let mut settings = PanelConfig::new(
        golden["axis"].as_u64().unwrap() as usize,
        thresholds.collect(),
    );
    settings.fan_pad = golden["fan_pad"].as_u64().unwrap() as usize;

    let truth = Chunks::new(&truth, 600, 6, 3).unwrap();
    let drives = [24u32; 600];
    let input = PanelInput {
        truth,
        draws: Draws::new(&draws, 600, 16, 6, 3).unwrap(),
        drives: &drives,
    };
    let panel = evaluate(&input, &settings).unwrap();
    let mut found = serde_json::to_value(&panel).unwrap();
    let constant = Draws::new(&constant, 600, 16, 6, 1).unwrap();
    let series = SteeringSeries::new(&constant, 0, &truth, settings.steering(), &drives).unwrap();
    found["fan_constant_chunk"] = serde_json::to_value(fan(&series, &settings).unwrap()).unwrap();

    let mut compared = 0;
    compare("", &found, &golden["expected"], &mut compared);
    assert_eq!(compared, 119);
    assert_eq!(panel.drives.len(), 1);
    assert_eq!(panel.drives[0].decomposition_all, panel.decomposition_all);
    assert_eq!(panel.drives[0].spike_frames, 110);
    assert_eq!(panel.coverage_floor, panel.decomposition_spike.best_draw);
    let table = &panel.slot_level[&2].mean_of_k;
    assert_eq!(table.keys().copied().collect::<Vec<_>>(), [1, 2, 4, 8, 16]);
    assert_eq!(table[&16], panel.slot_level[&2].meank);
}

struct Recording {
    truth: Vec<f32>,
    draws: Vec<f32>,
    drives: Vec<u32>,
}

const K: usize = 6;

/// Two drives of 30 frames with 6 slots and 3 channels.
fn recording() -> Recording {
    Recording {
        truth: noise(1, 60 * 18),
        draws: noise(2, 60 * K * 18),
        drives: (0..60).map(|frame| frame / 30).collect(),
    }
}

fn panel(recording: &Recording) -> Panel {
    let frames = recording.drives.len();
    let input = PanelInput {
        truth: Chunks::new(&recording.truth, frames, 6, 3).unwrap(),
        draws: Draws::new(&recording.draws, frames, K, 6, 3).unwrap(),
        drives: &recording.drives,
    };
    evaluate(&input, &PanelConfig::new(2, vec![0.25, 0.05, 0.5])).unwrap()
}

#[test]
fn frames_that_are_not_finite_are_dropped_and_counted() {
    let clean = recording();
    let mut spoiled = recording();
    spoiled.truth[3 * 18 + 1] = f32::NAN;
    spoiled.draws[(40 * K + 2) * 18] = f32::INFINITY;
    let mut shortened = recording();
    for frame in [40, 3] {
        shortened.truth.drain(frame * 18..(frame + 1) * 18);
        shortened.draws.drain(frame * K * 18..(frame + 1) * K * 18);
        shortened.drives.remove(frame);
    }
    let mut found = panel(&spoiled);
    assert_eq!((found.frames, found.dropped), (58, 2));
    found.dropped = 0;
    assert_eq!(found, panel(&shortened));
    assert_ne!(found, panel(&clean));
}

#[test]
fn empty_sets_are_null() {
    let mut spoiled = recording();
    spoiled.truth.fill(f32::NAN);
    let found = serde_json::to_value(panel(&spoiled)).unwrap();
    assert_eq!(found["dropped"], 60);
    for place in [
        "/decomposition_all/single",
        "/decomposition_spike/mode",
        "/selection_regret",
        "/coverage_floor",
        "/slot_level/2/meank/all",
        "/slot_level/0/variance_tax/spike",
        "/census/all/separation",
        "/chunk_mean_corr_meank",
        "/maneuver_l1_draw0/1/l1",
        "/sample_l1_draw0",
        "/fan/hit/0.05/all",
        "/fan/first_step_l1/spike",
        "/fan/lag_profile/0",
    ] {
        assert_eq!(found.pointer(place), Some(&Value::Null), "{place}");
    }
    let mut calm = recording();
    calm.truth.fill(0.01);
    let found = panel(&calm);
    assert_eq!(found.decomposition_spike.single, None);
    assert_eq!(found.decomposition_flat, found.decomposition_all);
    assert_eq!(found.chunk_mean_correlation.meank, None);
    assert_eq!(found.maneuver_l1_draw0[&0].frac, Some(0.0));
    assert_eq!(found.maneuver_l1_draw0[&0].l1, None);
}

#[test]
fn readouts_keep_their_order() {
    let found = panel(&recording());
    let numbers = found.decomposition_all;
    assert!(numbers.best_draw < numbers.meank && numbers.meank < numbers.single);
    assert!(numbers.oracle_mode <= numbers.mode);
    assert!(found.selection_regret >= Some(0.0));
    let spikes: usize = found.drives.iter().map(|drive| drive.spike_frames).sum();
    assert_eq!(spikes, found.census.spike.frames);
    let table = &found.slot_level[&1].mean_of_k;
    assert_eq!(table.keys().copied().collect::<Vec<_>>(), [1, 2, 4, 6]);
    // Perfect draws are perfect in every readout.
    let mut perfect = recording();
    perfect.draws = perfect
        .truth
        .chunks_exact(18)
        .flat_map(|c| c.repeat(K))
        .collect();
    let found = panel(&perfect);
    assert!(found.decomposition_all.mode < Some(1e-15));
    assert_eq!(found.decomposition_all.single, Some(0.0));
    assert_eq!(found.slot_level[&0].variance_tax.all, None);
    assert!((found.chunk_mean_correlation.meank.unwrap() - 1.0).abs() < 1e-12);
    assert_eq!(found.fan.hit["0.05"].all, Some(1.0));
}

/// Drives of a single draw with steering `truth` in every slot.
fn steering_panel(truth: &[f32], drives: &[u32], pad: usize) -> attractor::analysis::flow::Fan {
    let chunks = Chunks::new(truth, truth.len(), 1, 1).unwrap();
    let zeros = vec![0.0f32; truth.len()];
    let draws = Draws::new(&zeros, truth.len(), 1, 1, 1).unwrap();
    let series = SteeringSeries::new(&draws, 0, &chunks, 0, drives).unwrap();
    let mut settings = PanelConfig::new(0, vec![0.5]);
    settings.fan_pad = pad;
    fan(&series, &settings).unwrap()
}

#[test]
fn spike_regions_stay_inside_their_drive() {
    let mut truth = [0.0f32; 20];
    truth[9] = 1.0;
    // Frames 7..=11 are near the spike, 7..=9 when a drive ends at 10.
    let found = steering_panel(&truth, &[0; 20], 2);
    assert_eq!(found.first_step_l1.spike, Some(1.0 / 5.0));
    let drives: Vec<u32> = (0..20).map(|frame| u32::from(frame >= 10)).collect();
    let found = steering_panel(&truth, &drives, 2);
    assert_eq!(found.first_step_l1.spike, Some(1.0 / 3.0));
    let found = steering_panel(&truth, &drives, usize::MAX);
    assert_eq!(found.first_step_l1.spike, Some(1.0 / 10.0));
    assert_eq!(found.first_step_l1.flat, Some(0.0));
}

#[test]
fn lag_finds_a_shift() {
    let wave = |frame: isize| (frame as f32 * 0.15).sin();
    let truth: Vec<f32> = (0..200).map(wave).collect();
    for lag in [-4isize, -1, 0, 3, 6] {
        // p(i) = y(i + lag)
        let moved: Vec<f32> = (0..200).map(|frame| wave(frame + lag)).collect();
        let chunks = Chunks::new(&truth, 200, 1, 1).unwrap();
        let draws = Draws::new(&moved, 200, 1, 1, 1).unwrap();
        let series = SteeringSeries::new(&draws, 0, &chunks, 0, &[0; 200]).unwrap();
        let found = fan(&series, &PanelConfig::new(0, vec![0.5])).unwrap();
        assert_eq!(found.lag_profile, [Some(lag as i64)]);
    }
}

#[test]
fn sizes_that_disagree_are_named() {
    let recording = recording();
    let draws = Draws::new(&recording.draws, 60, K, 6, 3).unwrap();
    let judge = |truth: Chunks, drives: &[u32], settings: &PanelConfig| {
        let input = PanelInput {
            truth,
            draws,
            drives,
        };
        evaluate(&input, settings).unwrap_err().to_string()
    };
    let settings = PanelConfig::new(2, vec![0.5; 3]);
    let truth = Chunks::new(&recording.truth, 60, 6, 3).unwrap();
    let short = Chunks::new(&recording.truth, 30, 12, 3).unwrap();
    assert_eq!(
        judge(short, &recording.drives, &settings),
        "draws: frames is 60, expected 30"
    );
    assert_eq!(
        judge(truth, &recording.drives[1..], &settings),
        "drives: frames is 59, expected 60"
    );
    assert_eq!(
        judge(truth, &recording.drives, &PanelConfig::new(3, vec![0.5; 3])),
        "channel of the mode rule: channel 3 does not exist, there are 3"
    );
    assert_eq!(
        judge(truth, &recording.drives, &PanelConfig::new(2, vec![0.5])),
        "maneuver thresholds: number of raw channels R is 1, expected 3"
    );
    let mut bad = settings.clone();
    bad.hit_distances.push(f64::NAN);
    assert!(judge(truth, &recording.drives, &bad).starts_with("hit distance"));
    let error = Chunks::new(&[], 0, 0, 3).unwrap_err();
    assert!(matches!(error, FlowDataError::Empty { .. }));
}
