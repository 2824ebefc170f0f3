//! The two-by-two analysis against the files of the published script, and against files it must refuse.

use attractor::analysis::two_by_two::{
    Analysis, Bootstrap, Diagnostics, Floats, Intervals, OtsuRule, Table, evolution, evolution_csv,
    results_markdown, series_files, sweep, sweep_csv,
};
use attractor::device::Device;
use attractor::formats::{Array, ArrayData, ArrayMap, npz};
use attractor::verify::{Report, Verdict, run};
use std::path::{Path, PathBuf};

const TAGS: [&str; 4] = ["tiny_n7", "allcorrect_n64", "f64_n301", "ties_n1024"];

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ftle/two_by_two")
}

fn expected(name: &str) -> String {
    std::fs::read_to_string(data().join("expected").join(name)).unwrap()
}

fn file_of(tag: &str) -> PathBuf {
    data().join(format!("npz/diag_{tag}.npz"))
}

fn diagnostics(tag: &str) -> Diagnostics {
    Diagnostics::read(&file_of(tag)).unwrap()
}

fn analysis(tag: &str) -> Analysis {
    let npz = format!("FLOSS/diag_{tag}.npz");
    Analysis::of(&diagnostics(tag), &npz, OtsuRule::default()).unwrap()
}

/// An empty folder of a test's own.
fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("two_by_two")
        .join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    folder
}

/// Equal cells, but for the last digits of numbers: logarithms of other libraries differ there.
fn assert_same_numbers(found: &str, expected: &str, name: &str) {
    let cells = |text: &str| {
        text.split([',', '\n'])
            .map(String::from)
            .collect::<Vec<_>>()
    };
    let (found, expected) = (cells(found), cells(expected));
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(&expected) {
        let close = match (found.parse::<f64>(), expected.parse::<f64>()) {
            (Ok(x), Ok(y)) => (x - y).abs() <= 1e-12 * y.abs() || (x.is_nan() && y.is_nan()),
            _ => found == expected,
        };
        assert!(close, "{name}: {found}, not {expected}");
    }
}

#[test]
fn tables_and_texts_agree() {
    for tag in TAGS {
        let analysis = analysis(tag);
        assert_eq!(
            analysis.cells_csv(),
            expected(&format!("cells_{tag}.csv")),
            "{tag}"
        );
        let name = format!("sweep_{tag}.csv");
        assert_same_numbers(&sweep_csv(&sweep(&analysis)), &expected(&name), &name);
    }
    let all: Vec<_> = TAGS
        .iter()
        .map(|tag| ((*tag).to_owned(), analysis(tag)))
        .collect();
    assert_eq!(results_markdown(&all, "2026-11-20"), expected("results.md"));
    let files = series_files(&data().join("npz"), "hrm");
    let rows = evolution(&files, OtsuRule::default()).unwrap();
    assert_eq!(evolution_csv(&rows), expected("evolution_hrm.csv"));
}

#[test]
fn strict_json_has_null_where_the_plain_one_has_nan() {
    let analysis = analysis("allcorrect_n64");
    let (plain, strict) = (analysis.to_json(false), analysis.to_json(true));
    assert!(plain.contains(": NaN") && !strict.contains("NaN"));
    assert_eq!(plain.replace("NaN", "null"), strict);
    let parsed: serde_json::Value = serde_json::from_str(&strict).unwrap();
    assert!(parsed["contrasts"]["dlam1_within_converged"].is_null());
}

#[test]
fn the_middle_of_the_gap_is_beyond_the_low_mode() {
    let diagnostics = diagnostics("f64_n301");
    let with = |rule| Analysis::of(&diagnostics, "x", rule).unwrap();
    let (published, middle) = (with(OtsuRule::BinCentre), with(OtsuRule::MidGap));
    assert!(middle.tau > published.tau);
    assert!(middle.frac_converged >= published.frac_converged);
}

fn verified(folder: &Path) -> Report {
    run(folder, &Device::cpu()).unwrap()
}

/// A copy of the goldens.
fn copied(name: &str) -> PathBuf {
    let folder = scratch(name);
    for part in ["", "npz", "expected"] {
        std::fs::create_dir_all(folder.join(part)).unwrap();
        for entry in std::fs::read_dir(data().join(part)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                std::fs::copy(&path, folder.join(part).join(path.file_name().unwrap())).unwrap();
            }
        }
    }
    folder
}

fn verdict(report: &Report, name: &str) -> Verdict {
    let found = report.cases.iter().find(|case| case.name.ends_with(name));
    found.unwrap_or_else(|| panic!("{name}")).verdict
}

#[test]
fn goldens_pass_and_every_file_is_a_case() {
    let report = verified(&data());
    assert_eq!(
        report.cases.len(),
        3 * TAGS.len() + 3,
        "{:?}",
        report.lines()
    );
    assert!(
        report
            .cases
            .iter()
            .all(|case| case.verdict == Verdict::Pass),
        "{:?}",
        report.lines()
    );
}

/// Places of the last digits of numbers in a text, a few of them.
fn digits(text: &str) -> Vec<usize> {
    let bytes = text.as_bytes();
    let ends = (1..bytes.len()).filter(|at| {
        let follows = bytes.get(at + 1).copied().unwrap_or(b'\n');
        bytes[*at].is_ascii_digit()
            && (bytes[at - 1].is_ascii_digit() || bytes[at - 1] == b'.')
            && b",\n ]};|".contains(&follows)
    });
    let ends: Vec<usize> = ends.collect();
    let step = (ends.len() / 7).max(1);
    ends.into_iter().step_by(step).collect()
}

#[test]
fn any_changed_number_fails_its_file() {
    let folder = copied("changed");
    let names = [
        "results_tiny_n7.json",
        "results_f64_n301.json",
        "cells_ties_n1024.csv",
        "sweep_allcorrect_n64.csv",
        "evolution_hrm.csv",
        "results.md",
        "figdata.json",
    ];
    for name in names {
        let path = folder.join("expected").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        // The date of the first line may change; a third digit from the end is far above rounding.
        let start = if name == "results.md" {
            text.find('\n').unwrap()
        } else {
            0
        };
        for at in digits(&text).into_iter().filter(|at| *at > start) {
            let run = text[..=at]
                .bytes()
                .rev()
                .take_while(u8::is_ascii_digit)
                .count();
            let at = at + 1 - run.min(if run > 12 { run - 8 } else { 1 });
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'9' {
                b'8'
            } else {
                bytes[at] + 1
            };
            std::fs::write(&path, &bytes).unwrap();
            let report = verified(&folder);
            assert_eq!(verdict(&report, name), Verdict::Fail, "{name} byte {at}");
        }
        std::fs::write(&path, &text).unwrap();
    }
    assert_eq!(verdict(&verified(&folder), "figdata.json"), Verdict::Pass);
}

#[test]
fn changed_words_missing_lines_and_unknown_tags_fail() {
    let folder = copied("words");
    let change = |name: &str, from: &str, to: &str| {
        let path = folder.join("expected").join(name);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{name}: {from}");
        std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
        let found = verdict(&verified(&folder), name);
        std::fs::write(&path, text).unwrap();
        found
    };
    assert_eq!(
        change("results_tiny_n7.json", "lam1_iqr", "lam1_range"),
        Verdict::Fail
    );
    assert_eq!(
        change("results_tiny_n7.json", "FLOSS/", "floss/"),
        Verdict::Fail
    );
    assert_eq!(
        change("results_allcorrect_n64.json", "NaN", "0.0"),
        Verdict::Fail
    );
    assert_eq!(
        change("cells_tiny_n7.csv", "A_conv_correct,1", "A_conv_correct,2"),
        Verdict::Fail
    );
    assert_eq!(
        change(
            "sweep_tiny_n7.csv",
            "5,-12.0,0,0,4,3,nan,0.042868535965681076\n",
            ""
        ),
        Verdict::Fail
    );
    assert_eq!(
        change("results.md", "## tiny_n7", "## other"),
        Verdict::Fail
    );
    assert_eq!(
        change("results.md", "generated 2026", "generated 1999"),
        Verdict::Pass
    );
    assert_eq!(
        change("figdata.json", "\"B\": [", "\"E\": ["),
        Verdict::Fail
    );
    std::fs::remove_file(folder.join("expected/results_tiny_n7.json")).unwrap();
    assert_eq!(verdict(&verified(&folder), "tiny_n7"), Verdict::Fail);
}

/// The arrays of a file with one replaced, or left out.
fn changed(tag: &str, name: &str, array: Option<Array>) -> ArrayMap {
    let file = file_of(tag);
    let arrays = npz::load(&file).unwrap();
    let mut other = ArrayMap::new("changed.npz");
    for (known, values) in arrays.iter().filter(|(known, _)| *known != name) {
        other.insert(known, values.clone()).unwrap();
    }
    if let Some(array) = array {
        other.insert(name, array).unwrap();
    }
    other
}

fn refused(arrays: ArrayMap, words: &[&str]) {
    let diagnostics = Diagnostics::from_arrays(arrays);
    let found = diagnostics.and_then(|found| Analysis::of(&found, "x", OtsuRule::default()));
    let message = found.unwrap_err().to_string();
    for word in words.iter().chain(&["changed.npz"]) {
        assert!(message.contains(word), "no {word} in: {message}");
    }
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn arrays_that_are_not_as_they_should_be_are_named() {
    let tag = "tiny_n7";
    for name in [
        "drift_zH",
        "drift_zL",
        "lyap_spec",
        "exact_correct",
        "token_acc",
        "halted_at",
        "q_halt",
    ] {
        refused(changed(tag, name, None), &[name, "expected"]);
        let short = Array::new(&[6], vec![1.0_f32; 6]).unwrap();
        refused(changed(tag, name, Some(short)), &["expected"]);
        let text = Array::new(&[7], vec!["1".to_owned(); 7]).unwrap();
        refused(changed(tag, name, Some(text)), &[name, "expected"]);
    }
    let three = Array::new(&[7, 3], vec![1.0_f32; 21]).unwrap();
    refused(
        changed(tag, "drift_zH", Some(three)),
        &["drift_zH", "4 steps"],
    );
    let mut drifts = vec![1.0_f64; 7 * 16];
    drifts[37] = f64::NAN;
    let holed = Array::new(&[7, 16], drifts).unwrap();
    refused(
        changed(tag, "drift_zH", Some(holed)),
        &["drift_zH", "example 2, column 5"],
    );
    let alike = Array::new(&[7, 16], vec![3.0_f32; 7 * 16]).unwrap();
    refused(
        changed(tag, "drift_zH", Some(alike)),
        &["drift_zH", "degenerate"],
    );
    let unclear = Array::new(&[7], vec![f32::NAN; 7]).unwrap();
    refused(
        changed(tag, "exact_correct", Some(unclear)),
        &["exact_correct", "finite"],
    );
}

#[test]
fn fewer_than_two_examples_are_refused() {
    for count in 0..2_usize {
        let mut arrays = ArrayMap::new("changed.npz");
        let labels = Array::new(&[count], vec![true; count]).unwrap();
        arrays.insert("exact_correct", labels).unwrap();
        refused(arrays, &["exact_correct", "2 examples"]);
    }
}

#[test]
fn labels_of_any_number_type_are_read() {
    let labels = diagnostics("tiny_n7").exact_correct;
    let floats: Vec<f32> = labels
        .iter()
        .map(|label| *label as f32 + 0.9 * *label as f32)
        .collect();
    let kinds: [ArrayData; 3] = [
        labels
            .iter()
            .map(|label| *label == 1)
            .collect::<Vec<_>>()
            .into(),
        labels
            .iter()
            .map(|label| *label as u8)
            .collect::<Vec<_>>()
            .into(),
        floats.into(),
    ];
    for kind in kinds {
        let array = Array::new(&[7], kind).unwrap();
        let read = Diagnostics::from_arrays(changed("tiny_n7", "exact_correct", Some(array)));
        assert_eq!(read.unwrap().exact_correct, labels);
    }
    // Labels other than 0 and 1 are in no cell.
    let array = Array::new(&[7], vec![2_i32; 7]).unwrap();
    let read = Diagnostics::from_arrays(changed("tiny_n7", "exact_correct", Some(array))).unwrap();
    let analysis = Analysis::of(&read, "x", OtsuRule::default()).unwrap();
    assert!(analysis.cells.iter().all(|cell| cell.members.is_empty()));
    assert_eq!(analysis.exact_acc, 2.0);
}

#[test]
fn broken_files_are_refused_not_followed() {
    let bytes = std::fs::read(file_of("tiny_n7")).unwrap();
    let folder = scratch("broken");
    let file = folder.join("broken.npz");
    for length in (0..bytes.len()).step_by(97) {
        std::fs::write(&file, &bytes[..length]).unwrap();
        let message = Diagnostics::read(&file).unwrap_err().to_string();
        assert!(message.contains("broken.npz"), "{message}");
    }
    // Any one byte changed: an error or numbers, never a panic.
    for at in (0..bytes.len()).step_by(13) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x55;
        std::fs::write(&file, &changed).unwrap();
        if let Ok(read) = Diagnostics::read(&file) {
            let _ = Analysis::of(&read, "x", OtsuRule::default());
        }
    }
}

#[test]
fn what_is_written_is_read_back() {
    let examples = 5;
    let numbers = |columns: usize| -> Vec<f32> {
        (0..examples * columns)
            .map(|at| (at as f32 * 0.37).sin())
            .collect()
    };
    let history = Array::new(&[examples, 3, 2], numbers(6)).unwrap();
    let written = Diagnostics {
        file: scratch("written").join("diag.npz"),
        drift_zh: Table::new(16, numbers(16)),
        drift_zl: Table::new(16, numbers(16)),
        lyap_spec: Table::new(4, numbers(4)),
        exact_correct: vec![1, 0, 1, 0, 0],
        token_acc: Floats::F32(numbers(1)),
        halted_at: vec![1, 2, 16, 4, 5],
        q_halt: Table::new(16, numbers(16)),
        q_continue: Some(Table::new(16, numbers(16))),
        idx: Some(vec![10, 11, 12, 13, 14]),
        extra: vec![
            ("logR".into(), history),
            (
                "meta".into(),
                Array::new(&[1], vec!["{\"seed\": 1}".to_owned()]).unwrap(),
            ),
        ],
    };
    written.write(&written.file).unwrap();
    assert_eq!(Diagnostics::read(&written.file).unwrap(), written);
    let mut short = written.clone();
    short.halted_at.pop();
    assert!(
        short
            .write(&written.file)
            .unwrap_err()
            .to_string()
            .contains("halted_at")
    );
    // The file that was there is still there.
    assert_eq!(Diagnostics::read(&written.file).unwrap(), written);
}

#[test]
fn intervals_hold_their_numbers_and_do_not_depend_on_threads() {
    let diagnostics = diagnostics("f64_n301");
    let analysis = analysis("f64_n301");
    let bootstrap = Bootstrap {
        resamples: 500,
        ..Bootstrap::default()
    };
    let intervals = Intervals::of(&diagnostics, &analysis, bootstrap);
    for (_, interval) in intervals.contrasts.iter().chain(&intervals.areas) {
        assert!(
            interval.low <= interval.value && interval.value <= interval.high,
            "{interval:?}"
        );
    }
    // A handful of examples are not told apart as surely as many: areas stay within 0 and 1.
    assert!(
        intervals
            .areas
            .iter()
            .all(|(_, i)| i.low >= 0.0 && i.high <= 1.0)
    );
    let one = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    let alone = one.install(|| Intervals::of(&diagnostics, &analysis, bootstrap));
    assert_eq!(alone, intervals);
    let text = intervals.to_json("x.npz", true);
    let parsed: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(parsed["resamples"], 500);
    let value = parsed["cells"]["A_conv_correct"]["medians"]["lam1_median"]["value"].as_f64();
    assert_eq!(
        value,
        analysis.cells[0]
            .summary
            .as_ref()
            .map(|cell| cell.lam1_median)
    );
}
