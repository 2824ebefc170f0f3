//! `attractor analyze two-by-two`: the published files come out, and what cannot be read is refused.

use crate::support::{attractor, good, refused, scratch};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ftle/two_by_two");

fn out(name: &str) -> PathBuf {
    let folder = scratch(name);
    let _ = std::fs::remove_dir_all(&folder);
    folder
}

fn analyze(arguments: &[&str], out: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_attractor"))
        .args(["analyze", "two-by-two", "--out"])
        .arg(out)
        .args(arguments)
        .env("SOURCE_DATE_EPOCH", "1795132800")
        .output()
        .unwrap()
}

fn text(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn all_published_files_come_out_of_a_folder() {
    let out = out("analysis");
    let series = format!("hrm={DATA}/npz");
    let printed = good(&analyze(
        &[DATA, "--evolution", &series, "--resamples", "50"],
        &out,
    ));
    assert!(
        printed.contains("tiny_n7") && printed.contains("ties_n1024"),
        "{printed}"
    );
    let expected = Path::new(DATA).join("expected");
    let place = format!("{DATA}/npz/");
    for tag in ["tiny_n7", "allcorrect_n64", "f64_n301", "ties_n1024"] {
        let name = format!("cells_{tag}.csv");
        assert_eq!(text(&out, &name), text(&expected, &name), "{name}");
        // Logarithms of other libraries differ in the last digit.
        let name = format!("sweep_{tag}.csv");
        let (found, expected) = (text(&out, &name), text(&expected, &name));
        let cells = |text: &str| {
            text.split([',', '\n'])
                .map(String::from)
                .collect::<Vec<_>>()
        };
        let (found, expected) = (cells(&found), cells(&expected));
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            let close = match (found.parse::<f64>(), expected.parse::<f64>()) {
                (Ok(x), Ok(y)) => (x - y).abs() <= 1e-12 * y.abs() || (x.is_nan() && y.is_nan()),
                _ => found == expected,
            };
            assert!(close, "{name}: {found}, not {expected}");
        }
        for figure in ["drift_hist", "lyap_by_cell", "scatter", "spectrum"] {
            for kind in ["png", "svg"] {
                let file = out.join(format!("fig_{tag}_{figure}.{kind}"));
                assert!(file.metadata().unwrap().len() > 1_000, "{}", file.display());
            }
        }
        let found = text(&out, &format!("results_{tag}.json"));
        assert!(found.contains(&place) && !found.ends_with('\n'));
        text(&out, &format!("intervals_{tag}.json"));
    }
    assert_eq!(
        text(&out, "evolution_hrm.csv"),
        text(&expected, "evolution_hrm.csv")
    );
    assert!(out.join("evolution_hrm.png").exists() && out.join("evolution_hrm.svg").exists());
    let found = text(&out, "results.md");
    assert!(found.starts_with(
        "# 2x2 analysis (convergence x correctness) \u{2014} generated 2026-11-20\n\n## "
    ));
    assert!(text(&out, "intervals.md").contains("95.0 %"));
}

#[test]
fn tags_may_be_given_and_figures_left_out() {
    let out = out("tagged");
    let input = format!("mine={DATA}/npz/diag_tiny_n7.npz");
    let settings = [
        "--no-figures",
        "--resamples",
        "0",
        "--strict-json",
        "--otsu",
        "mid-gap",
    ];
    good(&analyze(&[&[input.as_str()], &settings[..]].concat(), &out));
    let mut names: Vec<String> = std::fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    let expected = [
        "cells_mine.csv",
        "results.md",
        "results_mine.json",
        "sweep_mine.csv",
    ];
    assert_eq!(names, expected);
    let parsed: serde_json::Value = serde_json::from_str(&text(&out, "results_mine.json")).unwrap();
    assert_eq!(parsed["n"], 7);
}

#[test]
fn a_manifest_above_gives_the_tag() {
    let out = out("above");
    let input = format!("{DATA}/npz/diag_ties_n1024.npz");
    good(&analyze(
        &[&input, "--no-figures", "--resamples", "0"],
        &out,
    ));
    text(&out, "cells_ties_n1024.csv");
}

#[test]
fn what_cannot_be_read_is_refused_and_nothing_is_written() {
    let out = out("refused");
    let file = format!("{DATA}/npz/diag_tiny_n7.npz");
    let lacking = format!("{DATA}/npz/diag_hrm_step_2604_512.npz");
    let text = format!("{DATA}/manifest.json");
    for (arguments, words) in [
        (vec!["nowhere.npz"], vec!["nowhere.npz", "cannot open"]),
        (vec![file.as_str(), file.as_str()], vec!["tiny_n7", "twice"]),
        (vec![lacking.as_str()], vec!["drift_zL", "expected"]),
        (vec![text.as_str()], vec!["manifest.json", "expected"]),
        (vec!["a/b=x.npz"], vec!["a/b"]),
        (vec![file.as_str(), "--evolution", "hrm"], vec!["NAME=DIR"]),
        (
            vec!["--evolution", "hrm=nowhere"],
            vec!["nowhere", "no such folder"],
        ),
        (
            vec![file.as_str(), "--resamples", "4000000000"],
            vec!["--resamples"],
        ),
        (vec![file.as_str(), "--otsu", "other"], vec!["other"]),
    ] {
        refused(&analyze(&arguments, &out), 2, &words);
        assert!(!out.exists(), "{arguments:?}");
    }
    // Without inputs the parent of the results is looked into.
    refused(&analyze(&[], &out.join("inner")), 2, &["published names"]);
    refused(&attractor(["analyze", "two-by-two", &file]), 2, &["--out"]);
}
