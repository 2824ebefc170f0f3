//! The demo from nothing but the program.

use crate::support::{attractor, good, scratch};
use serde_json::Value;

#[test]
fn the_demo_draws_counts_and_reports() {
    let folder = scratch("report");
    let _ = std::fs::remove_dir_all(&folder);
    let printed = good(&attractor([
        "demo",
        "--out",
        folder.to_str().unwrap(),
        "--seed",
        "2",
    ]));
    for word in [
        "device",
        "weights",
        "seed     2",
        "Room-Random-5x5",
        "random walk",
        "@",
    ] {
        assert!(printed.contains(word), "no \"{word}\" in {printed}");
    }
    assert!(!printed.contains('\x1b'), "colours are for terminals");

    let page = std::fs::read_to_string(folder.join("index.html")).unwrap();
    assert!(page.starts_with("<!doctype html>"));
    assert!(page.matches("<svg").count() > 6, "plots and dungeons");
    // Nothing is loaded from elsewhere; the name of the SVG standard is no address to load.
    let loaded = page.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", " src=", "@import", "<script"] {
        assert!(!loaded.contains(outside), "{outside}");
    }

    let text = std::fs::read_to_string(folder.join("results.json")).unwrap();
    let results: Value = serde_json::from_str(&text).unwrap();
    for ceiling in ["gflops", "gigabytes_per_second"] {
        assert!(results["roofline"][ceiling].as_f64().unwrap() > 0.0);
    }
    let samplers = results["samplers"].as_array().unwrap();
    assert_eq!(samplers.len(), 3);
    for sampler in samplers {
        assert_eq!(sampler["all"]["plans"], 350);
        assert_eq!(sampler["timing"]["repeatable"], true);
        let seen = sampler["all"]["staircase_seen"].as_u64().unwrap();
        assert!(seen > 0 && seen < 350);
        assert_eq!(sampler["all"]["plan"]["walks"], seen);
    }
    // The network has learned something: its plans must beat a walk at random by far.
    for sampler in samplers {
        let share = |who: &str| {
            let tally = &sampler["all"][who];
            tally["reached"].as_f64().unwrap() / tally["walks"].as_f64().unwrap()
        };
        assert!(share("plan") > 1.3 * share("random"), "{sampler}");
        assert!(share("random") > 0.1, "{sampler}");
    }
}
