//! The demo from nothing but the program.

use crate::support::{attractor, good, scratch};
use serde_json::Value;

#[test]
fn a_small_demo_draws_counts_and_reports() {
    let folder = scratch("report");
    let _ = std::fs::remove_dir_all(&folder);
    let printed = good(&attractor([
        "demo",
        "--plans",
        "35",
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
    assert!(page.starts_with("<!doctype html>") && page.contains("<svg"));
    // Nothing is loaded from elsewhere; the name of the SVG standard is no address to load.
    let loaded = page.replace("http://www.w3.org/2000/svg", "");
    for outside in ["http:", "https:", " src=", "@import", "<script"] {
        assert!(!loaded.contains(outside), "{outside}");
    }

    let text = std::fs::read_to_string(folder.join("results.json")).unwrap();
    let results: Value = serde_json::from_str(&text).unwrap();
    let samplers = results.as_array().unwrap();
    assert_eq!(samplers.len(), 3);
    for sampler in samplers {
        assert_eq!(sampler["all"]["plans"], 35);
        assert_eq!(sampler["timing"]["repeatable"], true);
        let seen = sampler["all"]["staircase_seen"].as_u64().unwrap();
        assert!(seen > 0 && seen < 35);
        assert_eq!(sampler["all"]["plan"]["walks"], seen);
    }
    // The network was trained in rooms: there its plans must beat a walk at random by far.
    let rooms = &samplers[0]["environments"];
    for room in [&rooms[0], &rooms[1]] {
        let share = |who: &str| {
            let tally = &room[who];
            tally["reached"].as_f64().unwrap() / tally["walks"].as_f64().unwrap()
        };
        assert!(share("plan") > share("random") + 0.2, "{room}");
    }
}
