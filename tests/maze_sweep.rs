//! The maze study: the published table anew, large samples, the same results on any path.

use attractor::analysis::maze::{
    BundleCell, MazeBundle, SweepSettings, published_sweep, shipped_weights, sweep, train,
};
use attractor::device::Device;
use attractor::samplers::tabular::{DrawSource, Method, TabularSettings};
use attractor::training::mlp::{LinearParameters, MlpParameters};
use attractor::worlds::maze::{
    Atlas, EpisodeSettings, Episodes, Lane, Layout, LearnedMaze, MazeModel,
};
use serde_json::Value;

fn published() -> (Value, Vec<BundleCell>) {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/worldmodel/maze/maze_offline_scores.json"
    );
    let text = std::fs::read_to_string(file).unwrap();
    let value: Value = serde_json::from_str(&text).unwrap();
    let cells = serde_json::from_value(value["cells"].clone()).unwrap();
    (value, cells)
}

#[test]
fn all_published_rows_are_made_again() {
    let (_, expected) = published();
    assert_eq!(expected.len(), 24);
    assert_eq!(published_sweep(&Device::cpu()).unwrap(), expected);
}

#[test]
fn the_bundle_has_the_published_bytes() {
    let (file, _) = published();
    let settings = SweepSettings::published();
    let layout = Layout::published().unwrap();
    let weights = shipped_weights(None).unwrap();
    let cells = sweep(&Device::cpu_f64(), &layout, &settings, &weights).unwrap();
    let word = |key: &str| file[key].as_str().unwrap().to_string();
    let mut bundle = MazeBundle::new(&settings, &cells, (word("generated_at"), word("note")));
    bundle.wmel_version = word("wmel_version");
    let found = serde_json::to_string_pretty(&bundle).unwrap();
    assert_eq!(
        found,
        serde_json::to_string_pretty(&bundle_of(&file)).unwrap()
    );
    // The file itself: indented by two, a newline at its end.
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/worldmodel/maze/maze_offline_scores.json"
    );
    assert_eq!(found + "\n", std::fs::read_to_string(path).unwrap());
}

fn bundle_of(file: &Value) -> MazeBundle {
    serde_json::from_value(file.clone()).unwrap()
}

/// A model whose displacement is `bias`, plus `slope` times x, to the right.
fn drifting(slope: f64, bias: f64) -> MazeModel {
    let mut weight = vec![0.0; 12];
    weight[0] = slope;
    let layers = vec![LinearParameters {
        inputs: 6,
        outputs: 2,
        weight,
        bias: vec![bias, 0.0],
    }];
    MazeModel::Learned(LearnedMaze::new("drifting", MlpParameters { layers }).unwrap())
}

#[test]
fn a_window_grows_until_nobody_leaves_it() {
    let layout = Layout::published().unwrap();
    let settings = EpisodeSettings {
        episodes: 2,
        ..EpisodeSettings::published()
    };
    let lane = Lane {
        model: 0,
        seed: 0,
        stream: 0,
    };
    for draws in [DrawSource::Python, DrawSource::Philox] {
        let settings = EpisodeSettings { draws, ..settings };
        // Twenty steps of two cells lead 41 cells to the right.
        let mut atlas = Atlas::new(&layout, &Device::cpu(), vec![drifting(0.0, 2.0)]).unwrap();
        assert_eq!(atlas.window().width, 7 + 2 * 6);
        let found = Episodes::run(&mut atlas, &[lane], settings).unwrap();
        assert_eq!(atlas.window().width, 7 + 2 * 48);
        assert!(
            found[0]
                .episodes
                .iter()
                .all(|e| e.steps > 0 && e.steps <= 50)
        );
        // One that goes faster the farther it is runs out of any window.
        let mut atlas = Atlas::new(&layout, &Device::cpu(), vec![drifting(9.0, 9.0)]).unwrap();
        let error = Episodes::run(&mut atlas, &[lane], settings)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("drifting: expected imagined states within 192 cells"),
            "{error}"
        );
    }
}

#[test]
fn episodes_by_counter_stand_alone() {
    let layout = Layout::published().unwrap();
    let models = vec![MazeModel::True, drifting(0.0, 1.0), MazeModel::True];
    let mut atlas = Atlas::new(&layout, &Device::cpu(), models).unwrap();
    let lane = |model, seed, stream| Lane {
        model,
        seed,
        stream,
    };
    let lanes = [lane(0, 5, 1), lane(1, 5, 1), lane(2, 5, 2)];
    let run = |atlas: &mut Atlas<'_>, lanes: &[Lane], episodes| {
        let settings = EpisodeSettings {
            episodes,
            draws: DrawSource::Philox,
            ..EpisodeSettings::published()
        };
        Episodes::run(atlas, lanes, settings).unwrap()
    };
    let many = run(&mut atlas, &lanes, 150);
    let few = run(&mut atlas, &lanes[..1], 40);
    assert_eq!(few[0].episodes, many[0].episodes[..40]);
    // The other stream is another sample of the same rate.
    assert_ne!(many[2].episodes, many[0].episodes);
    assert!(many[0].success_rate() > 0.9 && many[1].success_rate() < 0.2);
}

#[test]
fn the_cross_entropy_method_plans_alike_with_either_source() {
    let layout = Layout::published().unwrap();
    let mut atlas = Atlas::new(&layout, &Device::cpu(), vec![MazeModel::True]).unwrap();
    let lane = Lane {
        model: 0,
        seed: 1,
        stream: 0,
    };
    let mut rates = [DrawSource::Python, DrawSource::Philox].map(|draws| {
        let settings = EpisodeSettings {
            episodes: 400,
            draws,
            planner: TabularSettings {
                method: Method::CrossEntropy {
                    iterations: 3,
                    samples: 24,
                    elites: 6,
                    smoothing: 0.1,
                },
                horizon: 15,
            },
            ..EpisodeSettings::published()
        };
        Episodes::run(&mut atlas, &[lane], settings).unwrap()[0].success_rate()
    });
    rates.sort_by(f64::total_cmp);
    // Standard error of a difference of two rates near 0.9: 0.021.
    assert!(rates[0] > 0.5 && rates[1] - rates[0] < 0.1, "{rates:?}");
}

#[test]
fn settings_that_make_no_sweep_are_told() {
    let layout = Layout::published().unwrap();
    let refuse = |settings: SweepSettings| {
        let found = train(&Device::cpu(), &layout, &settings, &[]);
        found.unwrap_err().to_string()
    };
    let published = SweepSettings::published;
    let epochs = |epochs: &[u32]| SweepSettings {
        epochs: epochs.to_vec(),
        ..published()
    };
    assert_eq!(
        refuse(epochs(&[])),
        "epochs: expected at least one, found none"
    );
    assert!(refuse(epochs(&[2, 4, 2])).contains("epochs: expected each one once"));
    assert!(refuse(epochs(&[0])).contains("epochs: expected 1 to"));
    let seeds = SweepSettings {
        seeds: vec![1, 1],
        ..published()
    };
    assert!(refuse(seeds).contains("seeds: expected each one once"));
    let hidden = SweepSettings {
        hidden: 0,
        ..published()
    };
    assert!(refuse(hidden).contains("hidden: expected 1 to"));
}
