//! Planners over discrete actions, against plain loops, over batches, on every device.

mod common;

use attractor::analysis::stage2::arms::{ControlStage, action_table, problem};
use attractor::device::Device;
use attractor::models::Dynamics;
use attractor::models::control::ControlTask;
use attractor::orbit::PythonRandom;
use attractor::samplers::shooting::episodes::{Episode, run_batch, run_episode};
use attractor::samplers::shooting::rollout::rollout;
use attractor::samplers::shooting::{
    BatchPlanner, Method, PlanCall, Planned, PythonPlanner, ShootingSettings,
};
use attractor::worlds::control::{ControlEnvironment, Resets};

fn start(task: ControlTask, seed: u32) -> ControlEnvironment {
    Resets::new(task, seed).environment()
}

/// Scores of the states along a sequence of actions, one state after the other.
fn scores(task: ControlTask, state: &[f64], sequence: &[usize], device: &Device) -> Vec<f64> {
    let actions: Vec<f64> = sequence
        .iter()
        .flat_map(|index| task.actions()[*index])
        .copied()
        .collect();
    let history = rollout(&task, state, &actions, device).unwrap();
    let states = history.chunks_exact(task.state());
    states.map(|state| task.score().of(state)).collect()
}

/// Value and cut, as the rule says them.
fn value(scores: &[f64]) -> (f64, usize) {
    let least = scores.iter().copied().fold(f64::INFINITY, f64::min);
    let first = scores.iter().position(|score| *score == least).unwrap();
    let last = scores[scores.len() - 1] == least;
    (least, if last { scores.len() } else { first + 1 })
}

/// The same choice; a length may be rounded in another place.
fn assert_same(found: &Planned, expected: &Planned) {
    let near = (found.value - expected.value).abs() <= 1e-15 * expected.value.abs();
    let same = (found.candidate, &found.actions) == (expected.candidate, &expected.actions);
    assert!(near && same, "{found:?} {expected:?}");
}

/// The first of the lowest candidates.
fn naive(task: ControlTask, state: &[f64], sequences: &[Vec<usize>], device: &Device) -> Planned {
    let mut best: Option<Planned> = None;
    for (candidate, sequence) in sequences.iter().enumerate() {
        let (value, cut) = value(&scores(task, state, sequence, device));
        if best.as_ref().is_none_or(|best| value < best.value) {
            best = Some(Planned {
                value,
                candidate,
                actions: sequence[..cut].to_vec(),
            });
        }
    }
    best.unwrap()
}

#[test]
fn random_shooting_is_the_plain_loop() {
    let device = Device::cpu_f64();
    for task in ControlTask::ALL {
        let table = action_table(task);
        let settings = ShootingSettings::random(13, 7);
        let problem = problem(task, &task, &table);
        let mut planner = PythonPlanner::new(&problem, &settings, 5, &device).unwrap();
        let mut random = PythonRandom::new(5);
        let choices = task.actions().len() as u32;
        // The stream goes on from call to call, and short plans draw less of it.
        for (call, remaining) in [100, 3, 1, 9].into_iter().enumerate() {
            let state = start(task, call as u32).observe();
            let length = remaining.min(7);
            let mut draw = || {
                (0..length)
                    .map(|_| random.below(choices) as usize)
                    .collect()
            };
            let sequences: Vec<Vec<usize>> = (0..13).map(|_| draw()).collect();
            let found = planner.plan(&state, &[], remaining).unwrap().unwrap();
            assert_same(&found, &naive(task, &state, &sequences, &device));
        }
        assert_eq!(planner.plan(&[0.0; 6], &[], 0).unwrap(), None);
    }
}

#[test]
fn the_cross_entropy_method_is_the_plain_loop() {
    let (task, device) = (ControlTask::Reacher, Device::cpu_f64());
    let (samples, elites, horizon, smoothing) = (11, 3, 6, 0.1);
    let settings = ShootingSettings {
        candidates: samples,
        horizon,
        method: Method::CrossEntropy {
            iterations: 3,
            elites,
            smoothing,
        },
    };
    let table = action_table(task);
    let problem = problem(task, &task, &table);
    let mut planner = PythonPlanner::new(&problem, &settings, 3, &device).unwrap();
    let state = start(task, 0).observe();
    let found = planner.plan(&state, &[], 100).unwrap().unwrap();

    let mut random = PythonRandom::new(3);
    let choices = task.actions().len();
    let mut weights = vec![vec![1.0 / choices as f64; choices]; horizon];
    let mut best: Option<Planned> = None;
    for round in 0..3 {
        let mut sequences = Vec::new();
        for _ in 0..samples {
            let step = |row: &Vec<f64>| {
                let mut sum = 0.0;
                let running: Vec<f64> = row
                    .iter()
                    .map(|w| {
                        sum += w;
                        sum
                    })
                    .collect();
                random.weighted(&running)
            };
            let sequence: Vec<usize> = weights.iter().map(step).collect();
            sequences.push(sequence);
        }
        let of = |sequence: &Vec<usize>| value(&scores(task, &state, sequence, &device)).0;
        let values: Vec<f64> = sequences.iter().map(of).collect();
        let mut winner = naive(task, &state, &sequences, &device);
        winner.candidate += round * samples;
        if best.as_ref().is_none_or(|best| winner.value < best.value) {
            best = Some(winner);
        }
        let mut order: Vec<usize> = (0..samples).collect();
        order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
        for (step, row) in weights.iter_mut().enumerate() {
            for (action, weight) in row.iter_mut().enumerate() {
                let taken = order[..elites].iter();
                let count = taken.filter(|c| sequences[**c][step] == action).count();
                let share = count as f64 / elites as f64;
                *weight = (1.0 - smoothing) * share + smoothing / choices as f64;
            }
        }
    }
    assert_eq!(found, best.unwrap());
}

fn cross_entropy() -> ShootingSettings {
    ShootingSettings {
        candidates: 20,
        horizon: 8,
        method: Method::CrossEntropy {
            iterations: 3,
            elites: 4,
            smoothing: 0.1,
        },
    }
}

/// Plans of one call, for environments of these numbers.
fn planned(settings: &ShootingSettings, numbers: &[u32], device: &Device) -> Vec<Planned> {
    let task = ControlTask::Reacher;
    let table = action_table(task);
    let problem = problem(task, &task, &table);
    let mut planner = BatchPlanner::new(&problem, settings, 77, device).unwrap();
    let states: Vec<Vec<f64>> = numbers
        .iter()
        .map(|number| start(task, *number).observe())
        .collect();
    let calls = numbers.iter().zip(&states).map(|(number, state)| PlanCall {
        state,
        goal: &[],
        remaining: 1 + *number as usize,
        environment: *number,
        call: number / 2,
    });
    planner.plan(&calls.collect::<Vec<_>>()).unwrap()
}

fn an_environment_has_its_own_plans(device: &Device) {
    for settings in [ShootingSettings::random(33, 8), cross_entropy()] {
        let numbers = [3, 0, 12, 5, 9];
        let all = planned(&settings, &numbers, device);
        for (number, own) in numbers.iter().zip(&all) {
            assert_eq!(&planned(&settings, &[*number], device)[0], own);
            assert!(own.actions.len() <= 1 + *number as usize);
        }
    }
}

#[test]
fn plans_do_not_depend_on_the_batch() {
    an_environment_has_its_own_plans(&Device::cpu());
    an_environment_has_its_own_plans(&Device::cpu_f64());
}

#[test]
#[cfg_attr(
    not(gpu_adapter),
    ignore = "needs a GPU adapter: ./scripts/test installs a software one"
)]
fn plans_do_not_depend_on_the_batch_on_a_gpu() {
    an_environment_has_its_own_plans(&common::gpu());
}

#[test]
fn rounds_on_the_device_find_what_their_plans_are_worth() {
    let (task, device) = (ControlTask::Reacher, Device::cpu_f64());
    let mut one = cross_entropy();
    one.method = Method::CrossEntropy {
        iterations: 1,
        elites: 4,
        smoothing: 0.1,
    };
    let numbers: Vec<u32> = (10..40).collect();
    let rounds = planned(&cross_entropy(), &numbers, &device);
    let first = planned(&one, &numbers, &device);
    assert_eq!(
        first,
        planned(&ShootingSettings::random(20, 8), &numbers, &device)
    );
    let mut better = 0;
    for ((number, rounds), first) in numbers.iter().zip(&rounds).zip(&first) {
        assert!(rounds.value <= first.value);
        better += usize::from(rounds.value < first.value && rounds.candidate >= 20);
        let state = start(task, *number).observe();
        let (found, cut) = value(&scores(task, &state, &rounds.actions, &device));
        assert!((found - rounds.value).abs() <= 1e-15 * found, "{number}");
        assert_eq!(cut, rounds.actions.len());
    }
    // Rounds that draw by the elites improve on uniform draws nearly always.
    assert!(better > 20, "{better} of 30");
}

#[test]
fn episodes_do_not_depend_on_the_batch() {
    let (task, device) = (ControlTask::Reacher, Device::cpu_f64());
    let table = action_table(task);
    let settings = ShootingSettings::random(20, 8);
    let run = |first: u32, count: u32| -> Vec<Episode> {
        let problem = problem(task, &task, &table);
        let mut planner = BatchPlanner::new(&problem, &settings, 1, &device).unwrap();
        let numbers = first..first + count;
        let mut stages: Vec<ControlStage> = numbers
            .map(|number| ControlStage::new(start(task, number)))
            .collect();
        run_batch(&mut planner, &mut stages, first, 60).unwrap()
    };
    let all = run(0, 7);
    assert_eq!(all[..3], run(0, 3));
    assert_eq!(all[3..], run(3, 4));
    assert!(all.iter().any(|one| one.success) && all.iter().all(|one| one.steps <= 60));
    assert!(all.iter().all(|one| one.success || one.steps == 60));
}

#[test]
fn the_budget_ends_an_episode() {
    let (task, device) = (ControlTask::Cartpole, Device::cpu_f64());
    let table = action_table(task);
    let problem = problem(task, &task, &table);
    let settings = ShootingSettings::random(4, 9);
    let mut planner = PythonPlanner::new(&problem, &settings, 0, &device).unwrap();
    let mut stage = ControlStage::new(start(task, 0));
    let mut left = Vec::new();
    let episode = run_episode(&mut planner, &mut stage, 20, |_, _, remaining, plan| {
        left.push((remaining, plan.actions.len()));
        Ok(())
    });
    let episode = episode.unwrap();
    assert_eq!((episode.success, episode.steps), (false, 20));
    assert_eq!(episode.plans, left.len());
    for pair in left.windows(2) {
        assert_eq!(pair[0].0 - pair[0].1, pair[1].0);
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let (task, device) = (ControlTask::Cartpole, Device::cpu());
    let table = action_table(task);
    let good = problem(task, &task, &table);
    let refused = |settings: &ShootingSettings, part: &str| {
        let error = BatchPlanner::new(&good, settings, 0, &device).unwrap_err();
        assert!(error.to_string().contains(part), "{error}");
    };
    refused(&ShootingSettings::random(0, 5), "candidates");
    refused(&ShootingSettings::random(5, 0), "plan horizon");
    let with = |elites, smoothing| ShootingSettings {
        method: Method::CrossEntropy {
            iterations: 2,
            elites,
            smoothing,
        },
        ..ShootingSettings::random(5, 5)
    };
    refused(&with(6, 0.1), "elites");
    refused(&with(2, 1.5), "smoothing");
    let mut bad = good;
    bad.actions = &[];
    let error = BatchPlanner::new(&bad, &with(2, 0.1), 0, &device).unwrap_err();
    assert!(error.to_string().contains("actions"), "{error}");

    let settings = ShootingSettings::random(5, 5);
    let mut planner = PythonPlanner::new(&good, &settings, 0, &device).unwrap();
    let nan = planner.plan(&[0.0, 1.0, f64::NAN, 0.0, 0.0], &[], 5);
    assert!(nan.unwrap_err().to_string().contains("column 2"));
    assert!(planner.plan(&[0.0; 4], &[], 5).is_err());
}
