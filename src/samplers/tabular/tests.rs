use super::*;
use crate::orbit::PythonRandom;

/// A ring of states; actions go back, forth, or stay. The goal is `goal`; with a gap, state 5 leads out.
fn ring(states: u32, goal: u32, gap: bool) -> TableWorlds {
    let next = |s: u32| {
        let leads_out = gap && s == 5;
        [s + states - 1, s + 1, s].map(|to| if leads_out { u32::MAX } else { to % states })
    };
    TableWorlds {
        next: (0..states).flat_map(next).collect(),
        score: (0..states).map(|s| s.abs_diff(goal)).collect(),
        actions: 3,
    }
}

const CROSS_ENTROPY: Method = Method::CrossEntropy {
    iterations: 4,
    samples: 33,
    elites: 5,
    smoothing: 0.1,
};

fn settings(method: Method) -> TabularSettings {
    TabularSettings { method, horizon: 9 }
}

fn counters(start: usize, episode: u32) -> Call<'static> {
    Call {
        table: 0,
        start,
        remaining: 3 + episode as usize,
        draws: CallDraws::Philox {
            seed: 7,
            stream: 1,
            episode,
            call: episode % 3,
        },
    }
}

#[test]
fn plans_reach_the_goal_and_stop_there() {
    let worlds = ring(20, 4, false);
    for method in [Method::Shooting { candidates: 500 }, CROSS_ENTROPY] {
        let device = Device::cpu();
        let planner =
            TabularPlanner::new(&device, &worlds, settings(method), DrawSource::Philox, 3).unwrap();
        let mut session = planner.session(false).unwrap();
        let mut calls = vec![counters(2, 4), counters(4, 6)];
        let chosen = session.plan(&mut calls).unwrap();
        for (chosen, start) in chosen.iter().zip([2u32, 4]) {
            let walk = |at: u32, action: &u32| (at + 20 + [19, 1, 0][*action as usize]) % 20;
            let end = chosen.actions.iter().fold(start, walk);
            assert_eq!((chosen.score, end, chosen.left), (0, 4, 0), "{method:?}");
        }
    }
}

#[test]
fn a_call_is_planned_alike_in_any_company() {
    let worlds = ring(20, 11, false);
    for method in [Method::Shooting { candidates: 37 }, CROSS_ENTROPY] {
        let plan = |rows: usize, parallel: bool| {
            let (device, settings) = (Device::cpu(), settings(method));
            let source = DrawSource::Philox;
            let planner = TabularPlanner::new(&device, &worlds, settings, source, rows).unwrap();
            let mut session = planner.session(parallel).unwrap();
            let mut all = Vec::new();
            for first in (0..14).step_by(rows) {
                let numbers = first..14.min(first + rows);
                let mut calls: Vec<_> = numbers.map(|i| counters(i, i as u32)).collect();
                all.extend(session.plan(&mut calls).unwrap());
            }
            all
        };
        let alone = plan(1, false);
        assert_eq!(alone, plan(5, false));
        assert_eq!(alone, plan(14, true));
        assert!(alone.iter().any(|chosen| chosen != &alone[0]));
    }
}

#[test]
fn a_sequential_stream_goes_on_where_it_was() {
    let worlds = ring(20, 11, false);
    let (device, source) = (Device::cpu(), DrawSource::Python);
    for method in [Method::Shooting { candidates: 7 }, CROSS_ENTROPY] {
        let planner = TabularPlanner::new(&device, &worlds, settings(method), source, 2).unwrap();
        let mut session = planner.session(false).unwrap();
        let mut streams = [3, 4].map(PythonRandom::new);
        let mut together = Vec::new();
        for _ in 0..3 {
            let mut calls: Vec<_> = streams
                .iter_mut()
                .map(|random| Call {
                    table: 0,
                    start: 6,
                    remaining: 5,
                    draws: CallDraws::Python(random),
                })
                .collect();
            together.push(session.plan(&mut calls).unwrap());
        }
        let mut random = PythonRandom::new(4);
        for expected in &together {
            let mut call = [Call {
                table: 0,
                start: 6,
                remaining: 5,
                draws: CallDraws::Python(&mut random),
            }];
            assert_eq!(session.plan(&mut call).unwrap()[0], expected[1]);
        }
    }
}

#[test]
fn who_leaves_the_table_is_counted_and_nothing_remaining_is_no_plan() {
    let worlds = ring(20, 11, true);
    let method = Method::Shooting { candidates: 64 };
    let (device, source) = (Device::cpu(), DrawSource::Philox);
    let planner = TabularPlanner::new(&device, &worlds, settings(method), source, 4).unwrap();
    let mut session = planner.session(false).unwrap();
    let nothing = Call {
        remaining: 0,
        ..counters(1, 0)
    };
    let mut calls = vec![counters(5, 0), counters(4, 1), counters(15, 0), nothing];
    let chosen = session.plan(&mut calls).unwrap();
    assert_eq!(chosen[0].left, 64);
    assert!(chosen[0].actions.is_empty());
    assert!(chosen[1].left > 0 && chosen[1].left < 64);
    assert_eq!((chosen[2].left, chosen[3].left), (0, 0));
    assert!(chosen[3].actions.is_empty());
}

#[test]
fn misuse_is_told() {
    let worlds = ring(20, 11, false);
    let (device, method) = (Device::cpu(), Method::Shooting { candidates: 7 });
    let new = |worlds: &TableWorlds, settings| {
        let made = TabularPlanner::new(&device, worlds, settings, DrawSource::Philox, 1);
        made.map(|_| ()).unwrap_err().to_string()
    };
    let none = TabularSettings { horizon: 0, method };
    assert!(new(&worlds, none).contains("plan horizon: expected 1 to"));
    let elites = Method::CrossEntropy {
        iterations: 1,
        samples: 4,
        elites: 5,
        smoothing: 0.1,
    };
    assert!(new(&worlds, settings(elites)).contains("elites: expected 1 to 4, found 5"));
    let smoothing = Method::CrossEntropy {
        iterations: 1,
        samples: 4,
        elites: 2,
        smoothing: f64::NAN,
    };
    assert!(new(&worlds, settings(smoothing)).contains("smoothing: expected 0 to 1, found NaN"));
    let mut broken = worlds.clone();
    broken.next.pop();
    assert!(new(&broken, settings(method)).contains("transitions: expected a multiple of"));
    let mut broken = worlds.clone();
    broken.score[3] = u32::MAX;
    assert!(new(&broken, settings(method)).contains("state 3"));

    let planner =
        TabularPlanner::new(&device, &worlds, settings(method), DrawSource::Philox, 1).unwrap();
    let mut session = planner.session(false).unwrap();
    let mut two = [counters(0, 0), counters(1, 1)];
    assert!(
        session
            .plan(&mut two)
            .unwrap_err()
            .to_string()
            .contains("at most 1")
    );
    let mut random = PythonRandom::new(0);
    let mut wrong = [Call {
        draws: CallDraws::Python(&mut random),
        ..counters(0, 0)
    }];
    assert!(
        session
            .plan(&mut wrong)
            .unwrap_err()
            .to_string()
            .contains("draws")
    );
}
