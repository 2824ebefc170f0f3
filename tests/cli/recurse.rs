//! `attractor recurse`.

use crate::support::{attractor, good, refused, scratch, text};
use attractor::formats::{Array, ArrayMap, load_arrays, npz, safetensors};
use serde_json::Value;
use std::path::{Path, PathBuf};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/ftle/models/");

/// A model over boards of 4 x 4 digits, with its configuration beside it, under the names of a trainer.
fn model(name: &str, case: &str) -> PathBuf {
    let file = scratch(&format!("{name}.safetensors"));
    let mut map = ArrayMap::new(&file);
    let all = load_arrays(format!("{FOLDER}{case}.safetensors")).unwrap();
    for (name, array) in all.iter() {
        if let Some(name) = name.strip_prefix("weights.") {
            let name = format!("_orig_mod.model.{name}");
            map.insert(name, array.clone()).unwrap();
        }
    }
    safetensors::save(&file, &map).unwrap();
    std::fs::copy(format!("{FOLDER}{case}.json"), file.with_extension("json")).unwrap();
    file
}

fn recurse(weights: &Path, more: &[&str]) -> std::process::Output {
    let weights = weights.to_str().unwrap();
    attractor([&["recurse", "--weights", weights][..], more].concat())
}

/// Sixteen cells of made-up puzzles, one a line, with made-up answers.
fn puzzles(name: &str, count: usize) -> PathBuf {
    let file = scratch(name);
    let mut table = String::from("source,question,answer,rating\n");
    for puzzle in 0..count {
        let given: String = (0..16)
            .map(|cell| {
                if (cell + puzzle) % 3 == 0 {
                    '.'
                } else {
                    char::from(b'1' + (cell % 4) as u8)
                }
            })
            .collect();
        table.push_str(&format!("made up,{given},1234341221434321,{puzzle}\n"));
    }
    std::fs::write(&file, table).unwrap();
    file
}

const STEPS: [&str; 2] = ["--steps", "4"];

#[test]
fn one_puzzle_is_drawn_with_its_steps() {
    let model = model("recurse_one", "trm_mlp");
    let shown = good(&recurse(
        &model,
        &[&STEPS[..], &["--puzzle", "1..4............"]].concat(),
    ));
    assert!(
        shown.starts_with("puzzle\n1 . | . 4\n. . | . .\n----+-----\n"),
        "{shown}"
    );
    assert!(
        shown.contains("\nanswer\n") && shown.contains("q_continue"),
        "{shown}"
    );
    assert_eq!(shown.matches("halted_at").count(), 1, "{shown}");
}

#[test]
fn formats_say_the_same() {
    let (model, data) = (
        model("recurse_formats", "trm_mlp"),
        puzzles("recurse_formats.csv", 5),
    );
    let data = data.to_str().unwrap();
    let with = |format: &str| {
        let more = [&STEPS[..], &["--data", data, "--format", format]].concat();
        good(&recurse(&model, &more))
    };
    let json: Value = serde_json::from_str(&with("json")).unwrap();
    let answers = json["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 5);
    assert_eq!(json["run"]["sampler"]["model"]["arch"], "trm");
    assert!(json["exact_acc"].is_number());
    let lines = with("jsonl");
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let csv = with("csv");
    let rows: Vec<Vec<&str>> = csv.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows[0][0], "example");
    for (index, answer) in answers.iter().enumerate() {
        assert_eq!(answer["example"], index);
        assert_eq!(answer["q_halt"].as_array().unwrap().len(), 4);
        assert_eq!(answer["answer"].as_str().unwrap().len(), 16);
        assert_eq!(lines[index]["tokens"], answer["tokens"]);
        let row = &rows[index + 1];
        assert_eq!(row.len(), rows[0].len());
        assert_eq!(*row.last().unwrap(), answer["answer"].as_str().unwrap());
        assert_eq!(row[1], answer["halted_at"].to_string());
        let drift: f64 = row[4].parse().unwrap();
        assert_eq!(Some(drift), answer["drift_zH"][3].as_f64());
    }
    assert_eq!(with("md").lines().count(), 7);
    assert!(with("table").contains("5 puzzles, 4 steps; "));
}

#[test]
fn shards_are_parts_of_the_whole() {
    let (model, data) = (
        model("recurse_shards", "trm_mlp"),
        puzzles("recurse_shards.csv", 5),
    );
    let data = data.to_str().unwrap();
    let csv = |more: &[&str]| {
        let base = [&STEPS[..], &["--data", data, "--format", "csv"]].concat();
        good(&recurse(&model, &[&base[..], more].concat()))
    };
    let whole = csv(&[]);
    let first = csv(&["--shard", "1/2"]);
    let second = csv(&["--shard", "2/2", "--batch", "1"]);
    let rest = second.split_once('\n').unwrap().1;
    assert_eq!(format!("{first}{rest}"), whole);
    assert_eq!(
        csv(&["--limit", "2"]),
        whole
            .lines()
            .take(3)
            .map(|l| format!("{l}\n"))
            .collect::<String>()
    );
}

#[test]
fn files_hold_the_arrays_of_a_diagnosis() {
    let (model, data) = (
        model("recurse_out", "trm_mlp"),
        puzzles("recurse_out.csv", 3),
    );
    let out = scratch("recurse_out.npz");
    let _ = std::fs::remove_file(&out);
    let (data, file) = (data.to_str().unwrap(), out.to_str().unwrap());
    let more = [&STEPS[..], &["--data", data, "--out", file]].concat();
    assert_eq!(good(&recurse(&model, &more)), "");
    let map = npz::load(&out).unwrap();
    for name in ["q_halt", "q_continue", "drift_zH", "drift_zL"] {
        map.expect_finite_f32(name, &[3, 4]).unwrap();
    }
    assert_eq!(map.expect_i64("idx", &[3]).unwrap(), [0, 1, 2]);
    map.expect_i32("preds", &[3, 16]).unwrap();
    map.expect_i64("halted_at", &[3]).unwrap();
    map.expect_bool("exact_correct", &[3]).unwrap();
    map.expect_f32("token_acc", &[3]).unwrap();
    refused(&recurse(&model, &more), 2, &["exists", "--force"]);
}

#[test]
fn what_does_not_fit_is_one_line() {
    let weights = model("recurse_bad", "hrm_learned");
    let boards = model("recurse_bad_boards", "trm_mlp");
    let puzzle = ["--puzzle", "1..4............"];
    refused(&recurse(&boards, &[]), 2, &["--puzzle"]);
    refused(
        &recurse(&boards, &["--puzzle", "1..4..........."]),
        2,
        &["line 1", "a square of cells"],
    );
    refused(
        &recurse(&boards, &["--puzzle", "1..5............"]),
        2,
        &["line 1", "'5' at cell 3"],
    );
    refused(
        &recurse(&boards, &["--data", "/none/there"]),
        2,
        &["/none/there"],
    );
    refused(
        &recurse(&boards, &[&puzzle[..], &["--steps", "0"]].concat()),
        2,
        &["steps: expected"],
    );
    refused(
        &recurse(&boards, &[&puzzle[..], &["--limit", "0"]].concat()),
        2,
        &["--limit is 0"],
    );
    refused(
        &recurse(&boards, &[&puzzle[..], &["--arch", "hrm"]].concat()),
        2,
        &["seq_len: expected 31"],
    );
    refused(
        &recurse(&weights, &puzzle),
        2,
        &["expected 9 cells", "found 16"],
    );
    // No configuration: the weights tell neither heads nor cycles.
    std::fs::remove_file(weights.with_extension("json")).unwrap();
    let data = format!("{FOLDER}hrm_learned.safetensors");
    refused(
        &recurse(&weights, &["--data", &data]),
        2,
        &["num_heads", "do not tell"],
    );
    let flags = [
        "--heads",
        "2",
        "--h-cycles",
        "2",
        "--l-cycles",
        "3",
        "--steps",
        "2",
    ];
    // The gated layers of this model are narrower than is usual, but round to the same width.
    let shown = good(&recurse(
        &weights,
        &[&["--data", &data], &flags[..]].concat(),
    ));
    assert!(shown.contains("2 puzzles, 2 steps; "), "{shown}");
}

#[test]
fn a_table_of_other_puzzles_needs_a_word() {
    let file = model("recurse_mean", "trm_mlp");
    let mut map = load_arrays(&file).unwrap();
    let name = "_orig_mod.model.inner.puzzle_emb.weights";
    map.take(name).unwrap();
    map.insert(name, Array::new(&[2, 48], vec![0.25f32; 96]).unwrap())
        .unwrap();
    safetensors::save(&file, &map).unwrap();
    let puzzle = ["--puzzle", "1..4............", "--steps", "1"];
    refused(
        &recurse(&file, &puzzle),
        2,
        &["puzzle_emb.weights", "--mean-puzzle-embedding"],
    );
    good(&recurse(
        &file,
        &[&puzzle[..], &["--mean-puzzle-embedding"]].concat(),
    ));
}

#[test]
fn numbers_that_leave_the_numbers_have_their_own_code() {
    let file = model("recurse_huge", "trm_mlp");
    let mut map = load_arrays(&file).unwrap();
    let name = "_orig_mod.model.inner.H_init";
    map.take(name).unwrap();
    map.insert(name, Array::new(&[48], vec![3e38f32; 48]).unwrap())
        .unwrap();
    safetensors::save(&file, &map).unwrap();
    let output = recurse(&file, &["--puzzle", "1..4............", "--steps", "1"]);
    assert_eq!(output.status.code(), Some(5));
    assert!(text(&output).is_empty());
    let complaint = String::from_utf8(output.stderr).unwrap();
    assert!(complaint.contains("example 0, step 1"), "{complaint}");
}
