//! `attractor ftle field`: the picture, the numbers, what is refused.

use crate::support::{attractor, good, refused, scratch};
use attractor::formats::load_arrays;
use serde_json::Value;

fn field(more: &[&str]) -> std::process::Output {
    let start = ["ftle", "field", "--nx=13", "--ny=7", "--span=5"];
    attractor(start.iter().chain(more))
}

#[test]
fn a_picture_and_the_numbers() {
    let picture = scratch("gyre.svg");
    let (table, arrays) = (scratch("gyre.csv"), scratch("gyre.npz"));
    let [picture_name, table_name, arrays_name] =
        [&picture, &table, &arrays].map(|path| path.to_str().unwrap());
    let more = ["--force", "--out", picture_name, "--values", table_name];
    let text = good(&field(&more));
    assert!(
        text.contains("double_gyre") && text.contains("100 steps of 0.05"),
        "{text}"
    );
    let svg = std::fs::read_to_string(&picture).unwrap();
    assert!(
        svg.starts_with("<svg") && svg.contains("double gyre"),
        "{svg}"
    );
    good(&field(&["--force", "--values", arrays_name]));
    let npz = load_arrays(&arrays).unwrap();
    let exponents = npz.expect_f64("ftle_variational", &[7, 13]).unwrap();
    let differences = npz.expect_f64("ftle_grid_fd", &[7, 13]).unwrap();
    let csv = std::fs::read_to_string(&table).unwrap();
    let rows: Vec<Vec<f64>> = csv
        .lines()
        .skip(1)
        .map(|line| line.split(',').map(|v| v.parse().unwrap()).collect())
        .collect();
    assert_eq!(rows.len(), 91);
    for (row, (exponent, difference)) in rows.iter().zip(exponents.iter().zip(&differences)) {
        assert_eq!((row[4], row[5]), (*exponent, *difference));
        assert!(*exponent > 0.0);
    }
    assert_eq!(rows[14][..2], [2.0 / 12.0, 1.0 / 6.0]);
}

#[test]
fn a_summary_as_json() {
    let output = field(&["--format", "json", "--t0", "2.5", "--method", "differences"]);
    let summary: Value = serde_json::from_str(&good(&output)).unwrap();
    assert_eq!(summary["system"], "double_gyre");
    assert_eq!(
        (&summary["steps"], &summary["start"]),
        (&100.into(), &2.5.into())
    );
    let (least, largest) = (&summary["least"], &summary["largest"]);
    assert!(least.as_f64().unwrap() < summary["mean"].as_f64().unwrap());
    assert!(summary["mean"].as_f64().unwrap() < largest.as_f64().unwrap());
    // Still water: nothing is stretched but at the rate of the steady gyre.
    let still = field(&["--format", "json", "--parameter", "amplitude=0"]);
    let still: Value = serde_json::from_str(&good(&still)).unwrap();
    assert_eq!(still["largest"], 0.0);
}

#[test]
fn bad_settings_are_refused() {
    let unknown = attractor(["ftle", "field", "--system", "duffing"]);
    refused(&unknown, 2, &["duffing", "double_gyre"]);
    refused(
        &field(&["--system", "lorenz63", "--domain", "0,1,0,1"]),
        2,
        &["two numbers"],
    );
    refused(
        &field(&["--domain", "0,1,0"]),
        2,
        &["--domain", "four numbers", "3"],
    );
    refused(&field(&["--domain", "1,0,0,1"]), 2, &["domain"]);
    let bare = |more: &[&str]| attractor(["ftle", "field"].iter().chain(more));
    refused(&bare(&["--span", "0"]), 2, &["span", "not 0"]);
    refused(&field(&["--step", "0"]), 2, &["step size"]);
    refused(&bare(&["--nx", "1"]), 2, &["nx", "at least 2"]);
    refused(&field(&["--values", "field.txt"]), 2, &[".csv or .npz"]);
    refused(&field(&["--parameter", "amplitude"]), 2, &["NAME=VALUE"]);
    refused(
        &field(&["--parameter", "speed=1"]),
        2,
        &["speed", "amplitude, epsilon, omega"],
    );
    refused(
        &field(&["--out", "/no/such/folder/x.svg"]),
        2,
        &["/no/such/folder"],
    );
    refused(&attractor(["ftle"]), 2, &["field"]);
}
