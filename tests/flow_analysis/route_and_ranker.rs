use attractor::analysis::flow::{
    Chunks, Draws, FlowDataError, JointCount, PanelConfig, PanelInput, RankingConfig,
    RouteSelector, Routes, evaluate_route_selector, rank_readouts, signed_turn,
};

/// Frames of 4 draws with one slot: two at +-0.6 on either side; the truth goes left, right, left.
const DRAWS: [f32; 12] = [
    -0.6, 0.6, -0.6, 0.6, //
    -0.6, 0.6, -0.6, 0.6, //
    -0.6, 0.6, -0.6, 0.6,
];
const TRUTH: [f32; 3] = [0.6, -0.6, 0.6];

fn input() -> PanelInput<'static> {
    PanelInput {
        truth: Chunks::new(&TRUTH, 3, 1, 1).unwrap(),
        draws: Draws::new(&DRAWS, 3, 4, 1, 1).unwrap(),
        drives: &[0, 0, 0],
    }
}

fn config() -> PanelConfig {
    PanelConfig::new(0, vec![0.5])
}

#[test]
fn turns_of_a_polyline() {
    let quarter = std::f64::consts::FRAC_PI_2;
    // Ahead, left, ahead again (right turn), left, left.
    let route = [1.0f32, 0.0, 1.0, 1.0, 2.0, 1.0, 2.0, 2.0, 1.0, 2.0];
    assert!((signed_turn(&route, JointCount::All) - 2.0 * quarter).abs() < 1e-12);
    assert!((signed_turn(&route, JointCount::First(1)) - quarter).abs() < 1e-12);
    assert!(signed_turn(&route, JointCount::First(2)).abs() < 1e-12);
    assert!((signed_turn(&route, JointCount::First(3)) - quarter).abs() < 1e-12);
    assert_eq!(signed_turn(&[1.0, 0.0, 1.0, 0.0], JointCount::All), 0.0);
}

#[test]
fn least_squares() {
    let pairs: Vec<(f64, f64)> = (0..9)
        .map(|i| (f64::from(i), 0.5 - 0.25 * f64::from(i)))
        .collect();
    let line = RouteSelector::fit(&pairs).unwrap();
    assert!((line.intercept - 0.5).abs() < 1e-12 && (line.slope + 0.25).abs() < 1e-12);
    let constant = RouteSelector::fit(&[(1.0, 2.0), (1.0, 4.0)]).unwrap();
    assert_eq!((constant.intercept, constant.slope), (3.0, 0.0));
    assert!(matches!(
        RouteSelector::fit(&[]).unwrap_err(),
        FlowDataError::Empty { .. }
    ));
    assert!(matches!(
        RouteSelector::fit(&[(0.0, 1.0), (f64::NAN, 1.0)]).unwrap_err(),
        FlowDataError::NotFinite { frame: 1, .. }
    ));
}

#[test]
fn a_route_that_tells_picks_every_mode() {
    let turn = |side: f32| [1.0, 0.0, 2.0, side];
    let telling = [turn(1.0), turn(-1.0), turn(1.0)].concat();
    let judge = |values: &[f32], selector| {
        let routes = Routes::new(values, 3, 2).unwrap();
        evaluate_route_selector(&input(), &routes, JointCount::All, selector, &config()).unwrap()
    };
    let found = judge(&telling, None);
    assert_eq!(found.picks_better, Some(1.0));
    assert!(found.route_mode.all < Some(1e-6) && found.correlation > Some(0.99));
    assert_eq!(found.route_mode.flat, None);
    // A line fitted elsewhere, of the wrong sign, picks every mode wrong.
    let wrong = RouteSelector {
        intercept: 0.0,
        slope: -1.0,
    };
    let found = judge(&telling, Some(wrong));
    assert_eq!(found.picks_better, Some(0.0));
    assert!((found.route_mode_bimodal_spike.unwrap() - 1.2).abs() < 1e-6);
}

#[test]
fn bad_routes_are_named() {
    assert!(matches!(
        Routes::new(&[0.0; 2], 1, 1).unwrap_err(),
        FlowDataError::Setting { .. }
    ));
    let routes = Routes::new(&[0.0; 8], 2, 2).unwrap();
    let error = evaluate_route_selector(&input(), &routes, JointCount::All, None, &config());
    assert!(matches!(error, Err(FlowDataError::Size { .. })));
}

#[test]
fn scores_that_know_the_truth() {
    // The best draw first in frame 0 and 1; a wrong one first in frame 2.
    let scores = [
        0.0, 9.0, 0.0, 1.0, //
        9.0, 0.0, 1.0, 0.0, //
        0.0, 1.0, 5.0, 0.0,
    ];
    let ranking = RankingConfig {
        temperature: 0.01,
        top: vec![1, 4],
    };
    let found = rank_readouts(&input(), &scores, &config(), &ranking).unwrap();
    let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-6;
    assert!(close(found.ranker.spike, 0.4), "{found:?}");
    assert!(close(found.mode_pick.all, 0.4));
    assert!(close(found.meank.all, 0.6));
    assert!(close(found.top[0].1.all, 0.4) && close(found.top[1].1.all, 0.6));
    // Ranks 1, 1 and, behind two better draws, 3.
    assert_eq!(found.median_oracle_rank.all, Some(1.0));
    assert_eq!(found.median_oracle_rank.flat, None);
}

#[test]
fn bad_rankings_are_named() {
    let scores = [0.0f32; 12];
    let fails = |scores: &[f32], temperature: f64, top: usize| {
        let ranking = RankingConfig {
            temperature,
            top: vec![top],
        };
        rank_readouts(&input(), scores, &config(), &ranking).unwrap_err()
    };
    assert!(matches!(
        fails(&scores, 0.0, 1),
        FlowDataError::Setting { .. }
    ));
    assert!(matches!(
        fails(&scores, 1.0, 0),
        FlowDataError::Setting { .. }
    ));
    assert!(matches!(
        fails(&scores[1..], 1.0, 1),
        FlowDataError::Length { .. }
    ));
    let spoiled = [f32::NAN; 12];
    assert!(matches!(
        fails(&spoiled, 1.0, 1),
        FlowDataError::NotFinite { .. }
    ));
}
