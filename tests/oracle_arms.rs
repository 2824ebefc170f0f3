//! The published oracle arms, episode by episode: the planner, its draws, the environments and their start
//! states, all in double precision.

use attractor::analysis::stage2::arms::{Protocol, sequential, starts};
use attractor::analysis::stage2::{REGISTRY, downstream};
use attractor::device::Device;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Instant;

#[test]
fn all_ten_are_reproduced() {
    let path = "tests/data/worldmodel/tdmpc2_cpg_extract.json";
    let text = std::fs::read_to_string(path).expect("extract");
    let extract: Value = serde_json::from_str(&text).expect("JSON");
    let cells = extract["cells"].as_array().expect("cells");
    // Arms of models of several sizes are the same.
    let mut arms = BTreeMap::new();
    for entry in &REGISTRY {
        let name = entry.name();
        let ends = |cell: &&Value| cell["file"].as_str().is_some_and(|f| f.ends_with(&name));
        let cell = cells.iter().find(ends).expect("a cell of the registry");
        assert!(downstream(cell).is_ok(), "{name}");
        let protocol = Protocol::published(entry.seed);
        let episodes = arms.entry((entry.task, entry.seed)).or_insert_with(|| {
            let begun = Instant::now();
            let starts = starts(entry.task, &protocol).expect("starts");
            let device = Device::cpu_f64();
            let run = (&protocol, starts);
            let episodes = sequential(entry.task, &entry.task, run, &device, |_, _, _, _| Ok(()));
            let plans: usize = episodes.iter().flatten().map(|one| one.plans).sum();
            println!("{name}: {plans} plans, {:.2?}", begun.elapsed());
            episodes.expect("episodes")
        });
        let success: Vec<Value> = episodes.iter().map(|one| one.success.into()).collect();
        let steps: Vec<Value> = episodes.iter().map(|one| one.steps.into()).collect();
        assert_eq!(cell["oracle_success"], Value::from(success), "{name}");
        assert_eq!(cell["oracle_steps"], Value::from(steps), "{name}");
    }
    assert_eq!(arms.len(), 7);
}
