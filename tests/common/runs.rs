//! Made-up runs of policies, as files: tables, a velocity field and the manifest that names them.

use attractor::formats::predictions::{ChannelPredictions, Frames, PredictionTable};
use attractor::report::flow::{FieldView, HeatMap, Quiver, Space};
use std::path::{Path, PathBuf};

pub const HORIZON: usize = 6;

/// Uniform in -1..1 (linear congruential generator, Numerical Recipes).
pub struct Noise(pub u32);

impl Noise {
    pub fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0
    }
}

/// Steering of a drive: noise around zero, and a turn every hundred frames or so.
fn steering(drive: usize, frame: usize) -> f32 {
    let event = frame / 97;
    let side = if (event + drive).is_multiple_of(3) {
        -1.0
    } else {
        1.0
    };
    let turn = (20..30).contains(&(frame % 97));
    let amplitude = 0.62 + 0.05 * ((event * 7 + drive) % 6) as f32;
    let still = 0.03 * Noise(((drive * 10_007 + frame) as u32).wrapping_mul(2_654_435_769)).next();
    if turn {
        side * amplitude + still
    } else {
        still
    }
}

/// A table over `drives` drives of `frames` frames; `skill` in 0..=1 says how near it is to the truth.
pub fn table(drives: usize, frames: usize, skill: f32, seed: u32) -> PredictionTable {
    let mut noise = Noise(seed);
    let mut rows = Frames::default();
    let (mut truth, mut said) = (Vec::new(), Vec::new());
    for drive in 0..drives {
        for frame in 0..frames {
            rows.frame_idx.push(frame as i32 + 5);
            rows.time_stamp.push(100 * frame as i64);
            rows.input_id.push(format!("{}", 24 + drive));
            for slot in 1..=HORIZON {
                let value = steering(drive, frame + slot);
                truth.push(value);
                said.push(skill * value + (1.0 - skill) * 0.3 * noise.next());
            }
        }
    }
    let other = |scale: f32| {
        truth
            .iter()
            .map(|v| (scale * v).max(0.0))
            .collect::<Vec<_>>()
    };
    let (gas, brake) = (other(0.3), other(-0.2));
    let near = |values: &[f32]| values.iter().map(|v| v * skill).collect::<Vec<_>>();
    let channels = vec![
        ChannelPredictions::scored("gas", gas.clone(), near(&gas)).unwrap(),
        ChannelPredictions::scored("brake", brake.clone(), near(&brake)).unwrap(),
        ChannelPredictions::scored("steering", truth, said).unwrap(),
    ];
    PredictionTable::new(rows, HORIZON, channels).unwrap()
}

/// A field that pulls noise to one of two sides.
pub fn field(run: &str, condition: &str, truth: f32) -> FieldView {
    let axis = |count: usize, end: f32| -> Vec<f32> {
        let step = 2.0 * end / (count - 1) as f32;
        (0..count).map(|i| i as f32 * step - end).collect()
    };
    let pull = |t: f32, x: f32| {
        let goal = if x + 0.3 * truth > 0.0 { 0.7 } else { -0.6 };
        (goal - x) / (1.15 - t)
    };
    let times: Vec<f32> = (0..=50).map(|i| i as f32 / 50.0).collect();
    let mut noise = Noise(7);
    let path = |start: f32| {
        let mut x = start;
        let step = |t: &f32| {
            let here = x;
            x += pull(*t, x) / 50.0;
            here
        };
        times.iter().map(step).collect()
    };
    // A sum of uniform draws is near enough to a normal one.
    let paths = (0..200)
        .map(|_| path((0..4).map(|_| noise.next()).sum()))
        .collect();
    let (map_times, map_values) = (
        axis(25, 0.5).iter().map(|t| t + 0.5).collect(),
        axis(41, 1.3),
    );
    let cells = |times: &Vec<f32>| -> Vec<f32> {
        let row = |t: &f32| map_values.iter().map(|x| pull(*t, *x)).collect::<Vec<_>>();
        times.iter().flat_map(row).collect()
    };
    let velocity = cells(&map_times);
    let grid = axis(21, 1.2);
    let quiver = |t: f32| {
        let arrows = grid.iter().flat_map(|long| {
            let arrow = |steer: &f32| [pull(t, *steer), (0.2 - long) / (1.2 - t)];
            grid.iter().map(arrow).collect::<Vec<_>>()
        });
        Quiver::new(t, grid.clone(), grid.clone(), arrows.collect()).unwrap()
    };
    FieldView {
        run: run.into(),
        condition: condition.into(),
        slot: 2,
        space: Space::Model,
        truth: Some(truth),
        times,
        paths,
        background: Some(HeatMap::new(map_times, map_values.clone(), velocity).unwrap()),
        quivers: [0.1, 0.4, 0.7, 0.95].map(quiver).to_vec(),
    }
}

/// A folder of this test's own, empty.
pub fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Writes three runs over `drives` drives of `frames` frames and gives the manifest.
pub fn manifest(folder: &Path, drives: usize, frames: usize) -> PathBuf {
    table(drives, frames, 0.7, 1)
        .save(folder.join("regression.npz"))
        .unwrap();
    table(drives, frames, 0.85, 2)
        .save(folder.join("flow.npz"))
        .unwrap();
    table(1, frames, 0.8, 3)
        .save(folder.join("lds.jsonl"))
        .unwrap();
    let fields = [
        field("flow, mean of 32", "median |steering|", 0.3),
        field("flow, mean of 32", "high |steering|", -0.7),
    ];
    std::fs::write(
        folder.join("fields.json"),
        serde_json::to_vec(&fields).unwrap(),
    )
    .unwrap();
    let manifest = serde_json::json!({
        "title": "Held-out drives <of the benchmark>",
        "runs": [
            {"name": "regression head", "predictions": "regression.npz", "verdict": "baseline",
             "tags": ["seed 1", "no LDS"], "notes": "One forward pass a frame, mean squared error."},
            {"name": "flow, mean of 32", "predictions": "flow.npz", "fields": "fields.json",
             "verdict": "positive", "link": "https://example.org/runs?id=2&x=<3>",
             "tags": ["Heun/32", "K = 32"], "metrics": {"bimodal %": 17.0, "best draw": 0.041},
             "notes": "Draws averaged.\nFlat frames cost a little."},
            {"name": "flow with LDS & \"<b>quotes</b>\"", "predictions": "lds.jsonl",
             "verdict": "negative", "metrics": {"bimodal %": 20.6, "best draw": 0.032}},
            {"name": "hard mode pick", "verdict": "null", "notes": "Numbers only.",
             "metrics": {"steering L1 spike": 0.31}}
        ]
    });
    let file = folder.join("manifest.json");
    std::fs::write(&file, serde_json::to_vec_pretty(&manifest).unwrap()).unwrap();
    file
}
