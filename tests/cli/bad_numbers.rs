//! Flags that make no sense, and devices that are not there.

use crate::support::{attractor, plan_shipped, refused, scratch};

#[test]
fn sampler_settings_out_of_range() {
    for (flags, words) in [
        (&["--steps", "0"][..], &["steps", "0", "1..="][..]),
        (&["--steps", "-3"], &["--steps", "-3"]),
        (&["--eta", "-0.5"], &["eta", "-0.5", "at least 0"]),
        (&["--eta", "nan"], &["eta", "NaN", "finite"]),
        (&["--eta", "inf"], &["eta", "inf", "finite"]),
        (&["--temperature", "0"], &["temperature", "above 0"]),
        (&["--temperature", "-1"], &["temperature", "-1"]),
        (&["--temperature", "nan"], &["temperature", "NaN"]),
        (&["--top-p", "0"], &["top-p", "(0, 1]"]),
        (&["--top-p", "1.5"], &["top-p", "1.5"]),
        (&["--top-p", "nan"], &["top-p", "NaN"]),
        (&["--top-k", "-4"], &["--top-k", "-4"]),
        (&["--sampler", "best"], &["best", "remdm_bernoulli"]),
        (&["--strategy", "best"], &["best", "conf"]),
        (&["--noise-schedule", "square"], &["square", "linear"]),
        (
            &["--sampler", "greedy", "--strategy", "loop"],
            &["strategy", "remdm_bernoulli"],
        ),
        (&["--strategy", "loop", "--loop-on", "0.01"], &["loop"]),
    ] {
        refused(&attractor(plan_shipped(flags)), 2, words);
    }
}

#[test]
fn parts_that_are_none() {
    for (flags, words) in [
        (&["--limit", "0"][..], &["--limit", "at least 1"][..]),
        (&["--shard", "0/3"], &["0/3", "I/N"]),
        (&["--shard", "4/3"], &["4/3"]),
        (&["--shard", "third"], &["third"]),
        (&["--seed", "-1"], &["--seed"]),
        (&["--weights-key", "ema"], &["ema", "PyTorch"]),
        (&["--format", "poem"], &["poem", "jsonl"]),
    ] {
        refused(&attractor(plan_shipped(flags)), 2, words);
    }
}

#[test]
fn usage_mistakes_are_one_line() {
    refused(&attractor(["plan"]), 2, &["--weights", "--obs"]);
    refused(&attractor(["dance"]), 2, &["dance"]);
    refused(&attractor(["info", "--loud"]), 2, &["--loud"]);
    refused(&attractor(["demo", "--plans", "0"]), 2, &["--plans", "0"]);
}

#[test]
fn devices_that_are_not_there() {
    let arguments = plan_shipped(&["--limit", "1", "--device", "no such adapter"]);
    refused(&attractor(arguments), 3, &["no such adapter", "cpu"]);
}

#[test]
fn files_that_cannot_be_written() {
    let blocked = scratch("blocked");
    std::fs::write(&blocked, b"a file where a folder is needed").unwrap();
    let inside = blocked.join("plans.npz");
    let output = attractor(plan_shipped(&[
        "--limit",
        "1",
        "--out",
        inside.to_str().unwrap(),
    ]));
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    let last = complaint.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("error: ") && last.contains("plans.npz"),
        "{complaint}"
    );
}
