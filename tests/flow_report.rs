//! The report of runs: from a manifest to a page, and what is wrong with a manifest.

#[path = "common/runs.rs"]
mod runs;

use attractor::formats::predictions::{ChannelPredictions, PredictionTable};
use attractor::report::flow::{FlowReport, Verdict};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

fn written(folder: &Path, manifest: &Value) -> PathBuf {
    let file = folder.join("manifest.json");
    std::fs::write(&file, manifest.to_string()).unwrap();
    file
}

#[test]
fn a_manifest_becomes_a_page() {
    let folder = runs::folder("report_page");
    let manifest = runs::manifest(&folder, 5, 1600);
    let report = FlowReport::from_manifest(&manifest).unwrap();
    assert_eq!(report.runs.len(), 4);
    assert_eq!(report.runs[2].verdict, Some(Verdict::Negative));
    let drives: Vec<&str> = report.overlays.iter().map(|o| o.drive.as_str()).collect();
    assert_eq!(drives, ["24", "25", "26", "27", "28"]);
    assert_eq!(report.overlays[0].curves.len(), 3);
    assert_eq!(
        report.overlays[1].curves.len(),
        2,
        "the third run knows one drive"
    );
    // Four blocks of the first drive, two of the second.
    let zooms: Vec<&str> = report
        .zooms
        .iter()
        .map(|z| z.overlay.drive.as_str())
        .collect();
    assert_eq!(zooms, ["24", "24", "24", "24", "25", "25"]);
    assert_eq!(report.fields.len(), 2);
    let metric = |run: usize, name: &str| {
        let metrics = &report.runs[run].metrics;
        metrics.iter().find(|m| m.name == name).unwrap().value
    };
    assert!(metric(1, "steering L1 spike") < metric(0, "steering L1 spike"));
    assert!(metric(1, "corr") > metric(0, "corr"));
    assert_eq!(metric(1, "bimodal %"), 17.0);

    let page = report.render();
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
    for part in [
        "&lt;of the benchmark&gt;",
        "chip baseline",
        "chip null",
        "Heun/32",
        "best draw",
    ] {
        assert!(page.contains(part), "{part}");
    }
    for outside in ["<b>quotes", "src=", "@import", "url(", "http:"] {
        assert!(!page.contains(outside), "{outside}");
    }
    assert_eq!(
        page.matches("https:").count(),
        1,
        "the one link of the manifest"
    );
    assert!(page.contains("href=\"https://example.org/runs?id=2&amp;x=&lt;3&gt;\""));
    assert_eq!(page, FlowReport::from_manifest(&manifest).unwrap().render());
}

#[test]
fn another_run_keeps_the_others() {
    let folder = runs::folder("report_cumulative");
    runs::table(2, 500, 0.7, 1)
        .save(folder.join("a.npz"))
        .unwrap();
    runs::table(3, 500, 0.8, 2)
        .save(folder.join("b.npz"))
        .unwrap();
    let one = json!({"title": "t", "runs": [{"name": "a", "predictions": "a.npz"}]});
    let before = FlowReport::from_manifest(written(&folder, &one)).unwrap();
    let mut two = one.clone();
    two["runs"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "b", "predictions": "b.npz"}));
    let after = FlowReport::from_manifest(written(&folder, &two)).unwrap();
    assert_eq!(after.runs[0], before.runs[0]);
    assert_eq!((before.overlays.len(), after.overlays.len()), (2, 3));
    for (old, new) in before.overlays.iter().zip(&after.overlays) {
        assert_eq!((&old.frames, &old.truth), (&new.frames, &new.truth));
        assert_eq!(old.curves[0], new.curves[0]);
    }
}

#[test]
fn many_runs_stay_small() {
    let folder = runs::folder("report_many");
    let mut entries = Vec::new();
    for run in 0..40 {
        let file = format!("{run}.npz");
        runs::table(5, 1600, 0.5, run)
            .save(folder.join(&file))
            .unwrap();
        entries.push(json!({"name": format!("run {run}"), "predictions": file}));
    }
    let manifest = written(&folder, &json!({"title": "many", "runs": entries}));
    let page = FlowReport::from_manifest(manifest).unwrap().render();
    assert!(page.len() < 3_000_000, "{} bytes", page.len());
}

#[test]
fn what_is_wrong_is_named() {
    let folder = runs::folder("report_wrong");
    runs::table(1, 50, 0.7, 1)
        .save(folder.join("a.npz"))
        .unwrap();
    let table = PredictionTable::load(folder.join("a.npz")).unwrap();
    let with = |name: &str, change: fn(&mut ChannelPredictions)| {
        let mut channels = table.channels().to_vec();
        channels.iter_mut().for_each(change);
        let frames = table.frames().clone();
        let changed = PredictionTable::new(frames, table.horizon(), channels).unwrap();
        changed.save(folder.join(name)).unwrap();
    };
    with("other.npz", |channel| channel.ground_truth[6 * 7] += 0.5);
    with("wheel.npz", |channel| channel.key.push_str("/wheel"));
    let mut twice = table.frames().clone();
    twice.frame_idx[9] = twice.frame_idx[3];
    let twice = PredictionTable::new(twice, table.horizon(), table.channels().to_vec()).unwrap();
    twice.save(folder.join("twice.npz")).unwrap();
    std::fs::write(folder.join("fields.json"), r#"[{"run":"r"}]"#).unwrap();

    let a = json!({"name": "a", "predictions": "a.npz"});
    for (runs, words) in [
        (json!([]), &["manifest.json", "at least one"][..]),
        (json!([a, a]), &["run 'a'", "earlier"]),
        (json!([{"name": " "}]), &["runs[0].name", "blank"]),
        (
            json!([{"name": "a", "predicitons": "a.npz"}]),
            &["manifest.json", "predicitons"],
        ),
        (
            json!([{"name": "a", "link": "javascript:alert(1)"}]),
            &["http or https", "javascript"],
        ),
        (
            json!([{"name": "a", "verdict": "good"}]),
            &["good", "baseline"],
        ),
        (
            json!([{"name": "a", "metrics": {"x": "y"}}]),
            &["manifest.json", "y"],
        ),
        (
            json!([{"name": "a", "predictions": "none.npz"}]),
            &["run 'a'", "none.npz", "cannot open"],
        ),
        (
            json!([{"name": "a", "predictions": "wheel.npz"}]),
            &["steering/wheel", "channel of steering"],
        ),
        (
            json!([{"name": "a", "predictions": "twice.npz"}]),
            &["run 'a'", "frame 8", "twice"],
        ),
        (
            json!([{"name": "a", "fields": "fields.json"}]),
            &["fields.json", "condition"],
        ),
        (
            json!([a, {"name": "b", "predictions": "other.npz"}]),
            &["run 'b'", "run 'a'", "drive '24'", "frame 12"],
        ),
    ] {
        let manifest = written(&folder, &json!({"title": "t", "runs": runs}));
        let message = FlowReport::from_manifest(manifest).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "no \"{word}\" in: {message}");
        }
    }
}

#[test]
fn the_command_writes_the_page_or_says_why_not() {
    let folder = runs::folder("report_command");
    let manifest = runs::manifest(&folder, 1, 300);
    let page = folder.join("page.html");
    // Of an earlier run of the tests.
    let _ = std::fs::remove_file(&page);
    let run = |manifest: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_attractor"));
        command
            .args(["flow", "report"])
            .arg(manifest)
            .arg("--out")
            .arg(&page);
        command.output().unwrap()
    };
    let output = run(&manifest);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let written = std::fs::read_to_string(&page).unwrap();
    assert_eq!(
        written,
        FlowReport::from_manifest(&manifest).unwrap().render()
    );
    let output = run(&manifest);
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("page.html: exists"), "{complaint}");
    std::fs::remove_file(&page).unwrap();
    let output = run(&folder.join("none.json"));
    assert_eq!(output.status.code(), Some(2));
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(
        complaint.starts_with("error: ") && complaint.contains("none.json"),
        "{complaint}"
    );
    assert_eq!(complaint.lines().count(), 1);
}
