//! Flags that make no sense, and devices that are not there.

use crate::support::{CONFIG, attractor, good, plan_shipped, refused, scratch};

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
    refused(&attractor([""; 0]), 2, &["command"]);
}

#[test]
fn numbers_of_the_configuration_name_its_file() {
    let shipped: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(CONFIG).unwrap()).unwrap();
    for (key, value, words) in [
        ("diffusion_steps_eval", "0", &["steps", "1..="][..]),
        ("temperature", "-1", &["temperature", "above 0"]),
        ("noise_schedule", "\"square\"", &["square", "linear"]),
        ("map_h", "65536", &["map_h * map_w", "at most"]),
    ] {
        let mut config = shipped["config"].clone();
        config[key] = serde_json::from_str(value).unwrap();
        if key == "map_h" {
            config["map_w"] = config[key].clone();
        }
        let file = scratch(&format!("config_{key}.json"));
        std::fs::write(&file, config.to_string()).unwrap();
        let file = file.to_str().unwrap();
        let mut all = vec![file];
        all.extend(words);
        refused(&attractor(plan_shipped(&["--config", file])), 2, &all);
    }
    // A flag that replaces the bad value is enough; a bad flag is not blamed on the file.
    let file = scratch("config_temperature.json");
    let flags = ["--config", file.to_str().unwrap(), "--limit", "1"];
    let mended = [&flags[..], &["--temperature", "0.5"]].concat();
    good(&attractor(plan_shipped(&mended)));
    let worse = attractor(plan_shipped(
        &[&flags[..], &["--temperature", "-2"]].concat(),
    ));
    refused(&worse, 2, &["error: temperature is -2"]);
}

#[test]
fn devices_that_are_not_there() {
    let arguments = plan_shipped(&["--limit", "1", "--device", "no such adapter"]);
    refused(&attractor(arguments), 3, &["no such adapter", "cpu"]);
    let arguments = ["info", "--device", "no such adapter"];
    refused(&attractor(arguments), 3, &["no such adapter", "cpu"]);
}

#[test]
fn files_that_cannot_be_written() {
    let blocked = scratch("blocked");
    std::fs::write(&blocked, b"a file where a folder is needed").unwrap();
    let inside = blocked.join("plans.npz");
    let inside = inside.to_str().unwrap();
    // Refused before the work and not after it: a header would be a second line.
    for flag in ["--out", "--graph"] {
        let output = attractor(plan_shipped(&["--limit", "1", flag, inside]));
        refused(&output, 2, &[inside, "cannot write"]);
    }
    let folder = env!("CARGO_TARGET_TMPDIR");
    let output = attractor(plan_shipped(&["--limit", "1", "--out", folder]));
    refused(&output, 2, &[folder, "cannot write"]);
    let output = attractor(["demo", "--out", inside]);
    refused(&output, 2, &[inside, "folder"]);
}
