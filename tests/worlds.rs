//! The pure functions around the environments against the original code's reference values.

mod goldens;

use std::collections::HashSet;
use std::sync::Arc;

use attractor::worlds::minihack::{
    CROP_PAD, Cell, Curriculum, CurriculumRule, ENVIRONMENTS, Grid, InnerReward, MAP_COLS,
    MAP_ROWS, OracleMove, ReplayBuffer, RewardTrace, StaircaseGlyphs, Trajectory, Window,
    agent_cell, bfs_distance, environment, evaluation_seed, global_map, keep_oracle_trajectory,
    local_crop, oracle_move, replay_on_open_floor, replay_reward_trace, staircase_cell,
    staircase_target,
};
use goldens::{Goldens, index, integers, numbers};

const MAP: usize = MAP_ROWS * MAP_COLS;

fn map<T: Copy>(cells: &[T]) -> Grid<'_, T> {
    Grid::new(cells, MAP_ROWS, MAP_COLS).unwrap()
}

/// The goldens' code of an oracle decision: -1 where the rule falls through to a random move.
fn code(decision: OracleMove) -> i32 {
    match decision {
        OracleMove::Action(action) => i32::from(action),
        OracleMove::RandomCardinal => -1,
    }
}

fn check_oracle_and_distance(set: &str, expected_maps: usize) {
    let goldens = Goldens::open("env_oracle.safetensors");
    let chars = goldens.u8(&format!("{set}.chars"));
    let oracle = goldens.i32(&format!("{set}.oracle"));
    let distance = goldens.i32(&format!("{set}.bfs_dist"));
    assert_eq!(chars.len(), expected_maps * MAP);
    assert_eq!(
        (oracle.len(), distance.len()),
        (expected_maps, expected_maps)
    );
    for (index, chars) in chars.chunks(MAP).enumerate() {
        let chars = map(chars);
        assert_eq!(
            code(oracle_move(&chars)),
            oracle[index],
            "{set} {index}: oracle"
        );
        let found = bfs_distance(&chars).map_or(-1, |moves| moves as i32);
        assert_eq!(found, distance[index], "{set} {index}: distance");
    }
    let counts = index()["env"]["oracle"][format!("counts_{set}")].clone();
    for (action, count) in counts.as_object().unwrap() {
        let wanted: i32 = action.parse().unwrap();
        let found = oracle.iter().filter(|&&found| found == wanted).count();
        assert_eq!(
            found as u64,
            count.as_u64().unwrap(),
            "{set}: action {action}"
        );
    }
}

#[test]
fn oracle_and_distance_on_real_maps() {
    check_oracle_and_distance("real", 152);
}

#[test]
fn oracle_and_distance_on_synthetic_maps() {
    check_oracle_and_distance("synth", 240);
}

#[test]
fn crop_map_and_staircase_on_real_maps() {
    let goldens = Goldens::open("env_oracle.safetensors");
    let (chars, glyphs) = (goldens.u8("real.chars"), goldens.i16("real.glyphs"));
    let (local, stairs) = (goldens.i16("real.local"), goldens.f32("real.stair"));
    let mut visible = 0;
    for index in 0..glyphs.len() / MAP {
        let range = index * MAP..(index + 1) * MAP;
        let (chars, glyphs) = (map(&chars[range.clone()]), map(&glyphs[range]));
        let crop = local_crop(&glyphs, agent_cell(&chars), 9, CROP_PAD);
        assert_eq!(crop, &local[index * 81..][..81], "map {index}");
        assert_eq!(global_map(&glyphs).unwrap(), glyphs.cells());
        let expected = match stairs[2 * index..2 * index + 2] {
            [row, _] if row < 0.0 => None,
            [row, col] => Some([row, col]),
            _ => unreachable!(),
        };
        visible += usize::from(expected.is_some());
        // These maps have none of the three glyphs the original takes for a staircase by mistake.
        for set in [StaircaseGlyphs::Original, StaircaseGlyphs::Staircase] {
            assert_eq!(staircase_target(&glyphs, set), expected, "map {index}");
        }
        let drawn = chars.find(|character| character == b'>');
        assert_eq!(staircase_cell(&glyphs, StaircaseGlyphs::Staircase), drawn);
    }
    assert!(visible > 0 && visible < 152);
}

#[test]
fn crop_of_synthetic_maps() {
    let goldens = Goldens::open("env_oracle.safetensors");
    let chars = goldens.u8("synth.chars");
    let crops = goldens.i16("synth.crop_of_chars_plus_1000");
    for (index, (chars, crop)) in chars.chunks(MAP).zip(crops.chunks(81)).enumerate() {
        let glyphs: Vec<i16> = chars.iter().map(|&c| i16::from(c) + 1000).collect();
        let found = local_crop(&map(&glyphs), agent_cell(&map(chars)), 9, CROP_PAD);
        assert_eq!(found, crop, "map {index}");
    }
}

#[test]
fn goal_targets_of_both_recipes() {
    for file in ["loss_r1.safetensors", "loss_r2.safetensors"] {
        let goldens = Goldens::open(file);
        let glyphs = goldens.i32("aux.global_obs");
        let targets = goldens.f32("aux.target");
        for (glyphs, target) in glyphs.chunks(MAP).zip(targets.chunks(2)) {
            let found = staircase_target(&map(glyphs), StaircaseGlyphs::Original);
            assert_eq!(found.unwrap_or([-1.0; 2]), target);
        }
    }
}

struct Recording {
    name: String,
    actions: Vec<i32>,
    rewards: Vec<f64>,
    done: Vec<[bool; 3]>,
    distances: Vec<Option<u32>>,
}

impl Recording {
    fn all() -> Vec<Recording> {
        let index = index();
        let traces = index["env"]["reward_traces"].as_object().unwrap();
        let flag = |value: &serde_json::Value| value.as_bool().unwrap();
        let read = |(name, trace): (&String, &serde_json::Value)| Recording {
            name: name.clone(),
            actions: integers(&trace["actions"])
                .iter()
                .map(|&a| a as i32)
                .collect(),
            rewards: numbers(&trace["rewards"]),
            done: (trace["done"].as_array().unwrap().iter())
                .map(|done| [flag(&done[0]), flag(&done[1]), flag(&done[2])])
                .collect(),
            distances: (integers(&trace["bfs_before"]).iter())
                .map(|&moves| u32::try_from(moves).ok())
                .collect(),
        };
        traces.iter().map(read).collect()
    }

    fn trace(&self) -> RewardTrace<'_> {
        RewardTrace {
            actions: &self.actions,
            rewards: &self.rewards,
            done: &self.done,
            distances: &self.distances,
            action_count: environment(&self.name).unwrap().actions,
        }
    }
}

#[test]
fn reward_traces_follow_from_the_shaping_rules() {
    let recordings = Recording::all();
    assert_eq!(recordings.len(), ENVIRONMENTS.len());
    let mut totals = [0; 3];
    for recording in &recordings {
        let report = replay_reward_trace(&recording.trace())
            .unwrap_or_else(|error| panic!("{}: {error}", recording.name));
        assert!(report.largest_error < 1e-9, "{}", recording.name);
        assert_eq!(report.cells.len(), recording.actions.len() + 1);
        let room = recording.name.contains("Room-Random");
        assert_eq!(
            report.won, room,
            "{}: only the lit rooms were won",
            recording.name
        );
        assert_eq!(report.inner.contains(&InnerReward::Staircase), room);
        // Searching is the only thing done there that takes time and does not move.
        let searches = recording
            .actions
            .iter()
            .filter(|&&action| action == 10)
            .count();
        let corridor = recording.name.contains("Corridor");
        assert_eq!(
            report.waits,
            if corridor { searches } else { 0 },
            "{}",
            recording.name
        );
        let distinct: HashSet<&Cell> = report.cells.iter().collect();
        let entered = distinct.len() - 1;
        assert_eq!(report.first_visits + usize::from(report.won), entered);
        totals[0] += report.bumps;
        totals[1] += report.first_visits;
        totals[2] += report.waits;
    }
    assert!(totals.iter().all(|&total| total > 0), "{totals:?}");
}

#[test]
fn reward_traces_of_rooms_follow_from_characters() {
    let mut explained = Vec::new();
    for recording in Recording::all() {
        let trace = recording.trace();
        let report = replay_reward_trace(&trace).unwrap();
        let Some(replay) = replay_on_open_floor(&trace, &report) else {
            assert_eq!(recording.distances[0], None);
            continue;
        };
        assert_eq!(replay.tried, 4 * recording.distances[0].unwrap() as usize);
        if report.won {
            assert_eq!(replay.staircases, [*report.cells.last().unwrap()]);
        }
        assert!(!replay.staircases.is_empty(), "{}", recording.name);
        explained.push(recording.name);
    }
    assert_eq!(explained.len(), 3, "{explained:?}");
}

#[test]
fn a_changed_trace_is_refused() {
    let recordings = Recording::all();
    let room = recordings.iter().find(|r| r.name.contains("5x5")).unwrap();
    let refused = |change: &dyn Fn(&mut Recording)| {
        let mut changed = Recording {
            name: room.name.clone(),
            actions: room.actions.clone(),
            rewards: room.rewards.clone(),
            done: room.done.clone(),
            distances: room.distances.clone(),
        };
        change(&mut changed);
        let trace = changed.trace();
        replay_reward_trace(&trace).is_err()
            || replay_on_open_floor(&trace, &replay_reward_trace(&trace).unwrap())
                .is_none_or(|replay| replay.staircases.is_empty())
    };
    assert!(!refused(&|_| ()));
    for step in 0..room.rewards.len() {
        for amount in [-0.05, -0.01, 0.01, 0.05, 0.5, 20.0] {
            assert!(refused(&|r| r.rewards[step] += amount), "{step}: {amount}");
        }
        assert!(refused(&|r| r.distances[step] = None), "{step}: distance");
        assert!(
            refused(&|r| r.distances[step] = Some(9)),
            "{step}: distance"
        );
    }
    assert!(refused(&|r| r.done[7] = [true, false, false]));
    assert!(refused(&|r| r.done[7] = [false, false, true]));
    assert!(refused(&|r| r.actions[0] = 2));
    assert!(refused(&|r| r.actions.push(0)));
}

#[test]
fn windows_are_padded_to_the_sequence_length() {
    for case in index()["env"]["buffer"]["windows"].as_array().unwrap() {
        let steps = case["T"].as_i64().unwrap() as i32;
        let length = case["seq_len"].as_u64().unwrap() as usize;
        let trajectory = trajectory((0..steps).map(|step| step % 12).collect());
        let windows: Vec<Window> = Window::all(&trajectory).collect();
        assert_eq!(windows.len() as i64, case["n_windows"].as_i64().unwrap());
        let wide = |window: &Window| -> Vec<i64> {
            let actions = window.actions(length, 13);
            actions.into_iter().map(i64::from).collect()
        };
        assert_eq!(wide(windows.first().unwrap()), integers(&case["first"]));
        assert_eq!(wide(windows.last().unwrap()), integers(&case["last"]));
    }
}

fn trajectory(actions: Vec<i32>) -> Arc<Trajectory> {
    let steps = actions.len();
    let (local, global) = (vec![0; steps * 81], vec![0; steps * MAP]);
    Arc::new(Trajectory::new(local, global, actions, 9).unwrap())
}

#[test]
fn buffer_keeps_pinned_windows_and_rotates_the_rest() {
    let case = &index()["env"]["buffer"]["fifo"];
    let number = |key: &str| case[key].as_u64().unwrap() as usize;
    let offline = trajectory(vec![1; number("offline_windows")]);
    let mut buffer = ReplayBuffer::new(number("capacity"), Window::all(&offline));
    for event in case["events"].as_array().unwrap() {
        let added = integers(&event["added"]);
        let episode = trajectory(vec![added[0] as i32; added[1] as usize]);
        buffer.extend(Window::all(&episode));
        assert_eq!(
            buffer.pinned().len() as u64,
            event["n_offline"].as_u64().unwrap()
        );
        assert_eq!(buffer.len() as u64, event["total"].as_u64().unwrap());
        let values: Vec<i64> = buffer
            .online()
            .map(|window| i64::from(window.actions(number("seq_len"), 13)[0]))
            .collect();
        assert_eq!(values, integers(&event["online_values"]));
    }
}

#[test]
fn curriculum_weights_and_rates() {
    let case = &index()["env"]["curriculum"];
    for entry in case["cases"].as_array().unwrap() {
        let rate = entry["win_rate"].as_f64().unwrap();
        let weight = entry["weight"].as_f64().unwrap();
        assert_eq!(
            CurriculumRule::From.weight(rate),
            weight,
            "second recipe, {rate}"
        );
        // The first recipe differs at the edge only.
        let first = if rate == 0.85 { 1.0 } else { weight };
        assert_eq!(
            CurriculumRule::Above.weight(rate),
            first,
            "first recipe, {rate}"
        );
        let wins = (rate * 100.0).round() as usize;
        let mut curriculum = Curriculum::new(CurriculumRule::From, 1, 100, 50);
        (0..100).for_each(|episode| curriculum.record(0, episode < wins));
        assert_eq!(curriculum.win_rate(0), rate);
        assert_eq!(curriculum.weight(0), weight);
    }
    let rate = |preseed| Curriculum::new(CurriculumRule::From, 1, 100, preseed).win_rate(0);
    assert_eq!(rate(0), case["empty_rate"].as_f64().unwrap());
    assert_eq!(rate(50), case["preseed_rate"].as_f64().unwrap());
}

#[test]
fn efficiency_filter() {
    let cases = index()["env"]["efficiency_filter"].clone();
    for case in cases.as_array().unwrap() {
        let steps = |key: &str| case[key].as_u64().unwrap() as u32;
        let kept = keep_oracle_trajectory(
            case["won"].as_bool().unwrap(),
            steps("model_steps"),
            Some(steps("oracle_steps")),
            case["mult"].as_f64().unwrap(),
        );
        assert_eq!(kept, case["add"].as_bool().unwrap(), "{case}");
    }
    assert!(!keep_oracle_trajectory(true, 1498, None, 1.5));
    assert!(keep_oracle_trajectory(true, 1499, None, 1.5));
}

#[test]
fn evaluation_seeds() {
    let index = index();
    let episodes = integers(&index["env"]["eval_seed_episodes"]);
    let seeds = index["env"]["eval_seeds_R2"].as_object().unwrap();
    assert_eq!(seeds.len(), ENVIRONMENTS.len());
    for (name, seeds) in seeds {
        for (&episode, &seed) in episodes.iter().zip(&integers(seeds)) {
            assert_eq!(
                i64::from(evaluation_seed(name, episode as u32)),
                seed,
                "{name}"
            );
        }
    }
}
