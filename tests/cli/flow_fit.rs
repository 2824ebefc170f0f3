//! `attractor flow fit`.

use crate::support::{attractor, good, refused, scratch};
use attractor::formats::{Array, ArrayMap, npz};
use attractor::training::action_statistics::ActionStatistics;
use attractor::worlds::driving::{Drive, FRAMES};
use std::path::{Path, PathBuf};

fn fit(arguments: &[&str], out: &Path) -> std::process::Output {
    let out = out.to_str().unwrap();
    attractor([&["flow", "fit", "--force", "--out", out], arguments].concat())
}

fn npz_of(name: &str, shape: &[usize], values: Vec<f32>) -> PathBuf {
    let file = scratch(name);
    let mut map = ArrayMap::new(&file);
    map.insert("target_actions", Array::new(shape, values).unwrap())
        .unwrap();
    npz::save(&file, &map).unwrap();
    file
}

#[test]
fn one_drive_fits_alike_from_every_source() {
    let drive = Drive::generate(3, FRAMES);
    let arrays = npz_of("fit_drive.npz", &[FRAMES, 6, 3], drive.targets);
    let cache = scratch("fit_drive.safetensors");
    let generate = ["drive", "generate", "--force", "--drives", "3", "--out"];
    good(&attractor(
        [&generate[..], &[cache.to_str().unwrap()]].concat(),
    ));
    let fitted = |source: &[&str], name: &str| {
        let out = scratch(name);
        let said = good(&fit(source, &out));
        assert!(
            said.contains("longitudinal") && said.contains("steering"),
            "{said}"
        );
        ActionStatistics::load(out).unwrap()
    };
    let first = fitted(&["--drives", "3"], "fit_1.json");
    assert_eq!(fitted(&[arrays.to_str().unwrap()], "fit_2.json"), first);
    assert_eq!(fitted(&[cache.to_str().unwrap()], "fit_3.json"), first);
    let apart = [
        "--drives",
        "3",
        "--no-merge",
        "--json",
        "--levels",
        "16",
        "--bins",
        "8",
    ];
    let out = scratch("fit_4.json");
    let record: serde_json::Value = serde_json::from_str(&good(&fit(&apart, &out))).unwrap();
    assert_eq!(record["chunks"], FRAMES);
    assert_eq!(record["channels"][0]["name"], "gas");
    let statistics = ActionStatistics::load(out).unwrap();
    assert_eq!(statistics.transform.knots().unwrap().grid().len(), 16);
    assert_eq!(statistics.labels.unwrap()[0].emp().len(), 8);
}

#[test]
fn bad_requests_leave_no_file() {
    let out = scratch("fit_never.json");
    let still = npz_of("fit_still.npz", &[4, 2, 3], vec![0.0; 24]);
    let flat = npz_of("fit_flat.npz", &[4, 6], vec![0.0; 24]);
    let (still, flat) = (still.to_str().unwrap(), flat.to_str().unwrap());
    for (arguments, words) in [
        (&[][..], &["DATA"][..]),
        (&[still, "--drives", "3"], &["--drives"]),
        (
            &[still],
            &["fit_still.npz", "longitudinal", "all 8 values are 0"],
        ),
        (&[flat], &["fit_flat.npz", "target_actions", "[N, H, R]"]),
        (
            &[still, "--action-keys", "a,b"],
            &["2 channels (a, b)", "3"],
        ),
        (&[still, "--action-keys", "a,b,c"], &["gas"]),
        (
            &["--drives", "3", "--levels", "1"],
            &["levels", "2 to 1048576"],
        ),
        (&["--drives", "3", "--bins", "0"], &["bins"]),
        (&["--drives", "3", "--sigma", "nan"], &["sigma"]),
        (
            &["--drives", "3", "--quantile", "2"],
            &["quantile", "0 to 1"],
        ),
        (&["no_such_file.npz"], &["no_such_file.npz"]),
    ] {
        refused(&fit(arguments, &out), 2, words);
        assert!(!out.exists());
    }
    let kept = scratch("fit_kept.json");
    std::fs::write(&kept, b"mine").unwrap();
    let name = kept.to_str().unwrap();
    refused(
        &attractor(["flow", "fit", "--drives", "3", "--out", name]),
        2,
        &["exists", "--force"],
    );
    assert_eq!(std::fs::read(&kept).unwrap(), b"mine");
}
