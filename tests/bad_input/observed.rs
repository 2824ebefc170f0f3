//! Observations, and evaluations of the network over them.

use crate::common::trained::{made_up, tiny_config, tiny_planner};
use crate::{refused, remdm};
use attractor::device::Device;
use attractor::formats::{Array, ArrayMap};
use attractor::models::remdm::DenoiserConfig;
use attractor::samplers::{ForwardRequest, Observations, PlanRequest};

#[test]
fn observations_that_do_not_fit() {
    let config = tiny_config();
    let good = made_up(&config, 2);
    let new = |change: fn(&mut Vec<i32>, &mut Vec<i32>)| {
        let (mut local, mut global) = (good.local.clone(), good.global.clone());
        change(&mut local, &mut global);
        Observations::new(&config, local, global)
    };
    new(|_, _| {}).expect("as they were");
    let none = new(|local, global| {
        local.clear();
        global.clear();
    });
    refused("none", none, &["local_obs", "at least one example"]);
    refused(
        "a glyph too few",
        new(|l, _| l.truncate(161)),
        &["local_obs", "161"],
    );
    refused(
        "a glyph too many",
        new(|l, _| l.push(1)),
        &["local_obs", "163"],
    );
    refused(
        "half a map",
        new(|_, g| g.truncate(100)),
        &["global_obs", "100"],
    );
    refused("no map", new(|_, g| g.clear()), &["global_obs", "0"]);
    let parts = ["local_obs", "0..6000", "6000 in example 1 at cell 2"];
    refused("too large", new(|l, _| l[83] = 6000), &parts);
    let parts = ["global_obs", "0..6000", "-1 in example 0 at cell 5"];
    refused("negative", new(|_, g| g[5] = -1), &parts);
    refused("huge", new(|_, g| g[5] = i32::MAX), &["2147483647"]);

    // Fields are public: what was changed after the check is checked again by the planner.
    let mut planner = tiny_planner(&Device::cpu());
    type Change = fn(&mut Observations);
    let cases: &[(Change, &str)] = &[
        (|o| o.count = 0, "local_obs"),
        (|o| o.count = 3, "local_obs"),
        (|o| o.count = usize::MAX, "local_obs"),
        (|o| o.crop = 8, "local_obs"),
        (|o| o.map = (11, 7), "global_obs"),
        (|o| o.local[0] = 6000, "local_obs"),
        (|o| o.global[0] = -7, "global_obs"),
        (|o| o.global.clear(), "global_obs"),
    ];
    for (change, array) in cases {
        let mut tampered = good.clone();
        change(&mut tampered);
        let outcome = planner.plan(&remdm(), &PlanRequest::new(&tampered, 1));
        refused(array, outcome, &[array]);
        let request = ForwardRequest {
            observations: &tampered,
            tokens: &[0; 20],
            times: &[0; 2],
        };
        refused(array, planner.forward(&request), &[array]);
        // Cutting out a part does not fail either, whatever the fields say.
        let part = tampered.slice(1..5);
        assert!(part.count <= tampered.count);
    }
    let empty = good.slice(2..2);
    assert_eq!((empty.count, good.slice(5..9).count), (0, 0));
    let outcome = planner.plan(&remdm(), &PlanRequest::new(&empty, 1));
    refused("batch of none", outcome, &["at least one example"]);
    refused("batch of none", planner.compile(&remdm(), 0), &["0"]);
    let foreign = made_up(&DenoiserConfig::default(), 1);
    let outcome = planner.plan(&remdm(), &PlanRequest::new(&foreign, 1));
    refused(
        "of another model",
        outcome,
        &["global_obs", "7 x 11", "1659 glyphs"],
    );
}

#[test]
fn arrays_of_observations_that_do_not_fit() {
    let config = tiny_config();
    let arrays = |local: Option<Array>, global: Option<Array>| {
        let mut map = ArrayMap::new("observed.npz");
        for (name, array) in [("local_obs", local), ("global_obs", global)] {
            if let Some(array) = array {
                map.insert(name, array).expect("a new name");
            }
        }
        Observations::from_arrays(&config, &map)
    };
    let ints = |shape: &[usize], value: i32| {
        let count = shape.iter().product();
        Some(Array::new(shape, vec![value; count]).expect("array"))
    };
    arrays(ints(&[2, 9, 9], 5), ints(&[2, 7, 11], 5)).expect("good arrays");
    let file = "observed.npz";
    refused("none", arrays(None, None), &[file, "local_obs"]);
    refused(
        "one",
        arrays(ints(&[2, 9, 9], 5), None),
        &[file, "global_obs"],
    );
    let flat = arrays(ints(&[162], 5), ints(&[2, 7, 11], 5));
    refused("flat", flat, &[file, "local_obs"]);
    let other = arrays(ints(&[2, 9, 9], 5), ints(&[1, 7, 11], 5));
    refused(
        "counts",
        other,
        &[file, "global_obs", "[2, 7, 11]", "[1, 7, 11]"],
    );
    let none = arrays(ints(&[0, 9, 9], 5), ints(&[0, 7, 11], 5));
    refused(
        "batch of none",
        none,
        &[file, "local_obs", "at least one example"],
    );
    let glyph = arrays(ints(&[2, 9, 9], 6001), ints(&[2, 7, 11], 5));
    refused("glyph", glyph, &[file, "local_obs", "0..6000", "6001"]);
    let nan = Array::new(&[1, 9, 9], vec![f32::NAN; 81]).expect("array");
    let nan = arrays(Some(nan), ints(&[1, 7, 11], 5));
    refused("NaN", nan, &[file, "local_obs"]);
}

#[test]
fn evaluations_that_do_not_fit() {
    let planner = tiny_planner(&Device::cpu());
    let observations = made_up(&tiny_config(), 2);
    let forward = |tokens: &[i32], times: &[i32]| {
        planner.forward(&ForwardRequest {
            observations: &observations,
            tokens,
            times,
        })
    };
    forward(&[13; 20], &[0, 99]).expect("masks, paddings and the last time");
    refused(
        "tokens",
        forward(&[0; 19], &[0; 2]),
        &["action_seq", "20 numbers", "19"],
    );
    refused(
        "token",
        forward(&[14; 20], &[0; 2]),
        &["action_seq", "0..14", "14"],
    );
    refused("token", forward(&[-1; 20], &[0; 2]), &["action_seq", "-1"]);
    refused(
        "times",
        forward(&[0; 20], &[0; 3]),
        &["t_discrete", "2 numbers", "3"],
    );
    refused(
        "time",
        forward(&[0; 20], &[0, 100]),
        &["t_discrete", "0..100", "100"],
    );
    refused("time", forward(&[0; 20], &[-1, 0]), &["t_discrete", "-1"]);
}
