use attractor::analysis::flow::{
    Draws, FlowDataError, ModeRule, ModeSplit, Readout, ReadoutError, read_out,
};

use crate::support::{config, noise, tensors};

const READOUTS: [Readout; 4] = [
    Readout::Single,
    Readout::MeanK,
    Readout::Mode,
    Readout::ModeMedoid,
];

fn rule() -> ModeRule {
    ModeRule::on_channel(2)
}

fn same(a: &[f64], b: &[f64], tolerance: f64) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|(a, b)| (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance)
}

#[test]
fn readouts_of_the_reference() {
    let config = config("readouts");
    let arrays = tensors("readouts");
    let values = arrays.expect_f32("in.draws", &[12, 32, 6, 3]).unwrap();
    let draws = Draws::new(&values, 12, 32, 6, 3).unwrap();
    let rule = ModeRule {
        channel: config["axis"].as_u64().unwrap() as usize,
        gap: config["gap"].as_f64().unwrap(),
        min_fraction: config["min_frac"].as_f64().unwrap(),
    };
    for readout in READOUTS {
        let expected = arrays
            .expect_f64(&format!("out.{readout}"), &[12, 6, 3])
            .unwrap();
        let found = read_out(readout, &draws, None, &rule).unwrap();
        // Choices of a draw are exact; means differ by the order of their sums.
        let tolerance = match readout {
            Readout::Single => 0.0,
            _ => 1e-15,
        };
        assert!(same(&found, &expected, tolerance), "{readout}");
    }
    let cases = config["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 12);
    for (name, frame) in cases.iter().zip(draws.iter()) {
        let info = &config["info"][name.as_str().unwrap()];
        let split = ModeSplit::of(frame, &rule);
        assert_eq!(split.bimodal, info["bimodal"].as_bool().unwrap(), "{name}");
        match (split.separation, info["separation"].as_f64()) {
            (Some(found), Some(expected)) => {
                assert!((found - expected).abs() < 1e-15, "{name}: {found}");
                assert_eq!(
                    Some(split.dominant as u64),
                    info["dominant"].as_u64(),
                    "{name}"
                );
                assert_eq!(
                    Some(split.minority as u64),
                    info["minority"].as_u64(),
                    "{name}"
                );
            }
            (found, expected) => assert_eq!(found, expected, "{name}"),
        }
    }
}

/// Draws around `centers`, one a draw, on all channels of 6 slots.
fn around(centers: &[f32], spread: f32) -> Vec<f32> {
    let noise = noise(5, centers.len() * 18);
    let draws = noise.chunks_exact(18).zip(centers);
    draws
        .flat_map(|(noise, center)| noise.iter().map(move |noise| center + spread * noise))
        .collect()
}

#[test]
fn order_of_draws_matters_to_single_alone() {
    let centers: Vec<f32> = (0..16)
        .map(|draw| if draw < 5 { -0.4 } else { 0.3 })
        .collect();
    let values = around(&centers, 0.05);
    let mut shuffled: Vec<f32> = Vec::new();
    for draw in 0..16 {
        let from = (draw * 7 + 3) % 16;
        shuffled.extend(&values[from * 18..(from + 1) * 18]);
    }
    let draws = Draws::new(&values, 1, 16, 6, 3).unwrap();
    let other = Draws::new(&shuffled, 1, 16, 6, 3).unwrap();
    assert!(ModeSplit::of(draws.frame(0).unwrap(), &rule()).bimodal);
    for readout in READOUTS {
        let a = read_out(readout, &draws, None, &rule()).unwrap();
        let b = read_out(readout, &other, None, &rule()).unwrap();
        assert_eq!(same(&a, &b, 1e-15), readout != Readout::Single, "{readout}");
    }
}

#[test]
fn a_frame_alone_is_the_frame_in_a_batch() {
    let values = noise(11, 40 * 8 * 18);
    let scores = noise(12, 40 * 8);
    let draws = Draws::new(&values, 40, 8, 6, 3).unwrap();
    let all = [
        Readout::Single,
        Readout::MeanK,
        Readout::Mode,
        Readout::ModeMedoid,
        Readout::Ranker { temperature: 0.5 },
        Readout::TopM(3),
    ];
    for readout in all {
        let batch = read_out(readout, &draws, Some(&scores), &rule()).unwrap();
        for (frame, expected) in batch.chunks_exact(18).enumerate() {
            let values = &values[frame * 144..(frame + 1) * 144];
            let alone = Draws::new(values, 1, 8, 6, 3).unwrap();
            let scores = &scores[frame * 8..(frame + 1) * 8];
            let found = read_out(readout, &alone, Some(scores), &rule()).unwrap();
            assert_eq!(found, expected, "{readout}, frame {frame}");
        }
    }
}

#[test]
fn one_draw_is_every_readout() {
    let values = noise(3, 18);
    let expected: Vec<f64> = values.iter().map(|&value| f64::from(value)).collect();
    let draws = Draws::new(&values, 1, 1, 6, 3).unwrap();
    let split = ModeSplit::of(draws.frame(0).unwrap(), &rule());
    assert!(!split.bimodal && split.separation == Some(0.0) && split.dominant == 1);
    let ranked = [Readout::TopM(5), Readout::Ranker { temperature: 4.0 }];
    for readout in READOUTS.into_iter().chain(ranked) {
        let found = read_out(readout, &draws, Some(&[0.7]), &rule()).unwrap();
        assert_eq!(found, expected, "{readout}");
    }
}

#[test]
fn equal_draws_are_one_mode() {
    let values = noise(3, 18).repeat(8);
    let draws = Draws::new(&values, 1, 8, 6, 3).unwrap();
    let free = ModeRule {
        gap: 0.0,
        min_fraction: 0.0,
        ..rule()
    };
    let split = ModeSplit::of(draws.frame(0).unwrap(), &free);
    assert!(!split.bimodal && split.separation == Some(0.0));
    assert_eq!((split.dominant, split.minority), (7, 1));
    let expected: Vec<f64> = values[..18].iter().map(|&value| f64::from(value)).collect();
    let medoid = read_out(Readout::ModeMedoid, &draws, None, &free).unwrap();
    assert_eq!(medoid, expected);
}

#[test]
fn ties_go_left_and_to_the_first() {
    // Two gaps of the same width, and signatures that hold exactly in binary.
    let centers = [0.5f32, 0.0, -0.5, 0.5, -0.5, 0.0];
    let values: Vec<f32> = centers.iter().flat_map(|&center| [center; 18]).collect();
    let draws = Draws::new(&values, 1, 6, 6, 3).unwrap();
    let split = ModeSplit::of(draws.frame(0).unwrap(), &rule());
    assert_eq!(split.left, [false, false, true, false, true, false]);
    assert!(split.bimodal && !split.dominant_left);
    // Half and half: the side below the gap, and of its equally near draws the first.
    let centers = [0.5f32, -0.25, -0.5, 0.25];
    let values: Vec<f32> = centers.iter().flat_map(|&center| [center; 18]).collect();
    let draws = Draws::new(&values, 1, 4, 6, 3).unwrap();
    let medoid = read_out(Readout::ModeMedoid, &draws, None, &rule()).unwrap();
    assert_eq!(medoid, [-0.25f64; 18]);
}

#[test]
fn scores_choose_and_weigh() {
    let values: Vec<f32> = [1.0f32, 2.0, 4.0].iter().flat_map(|&v| [v; 18]).collect();
    let draws = Draws::new(&values, 1, 3, 6, 3).unwrap();
    let read = |readout, scores: &[f32]| read_out(readout, &draws, Some(scores), &rule()).unwrap();
    assert_eq!(read(Readout::TopM(1), &[0.0, 3.0, 3.0]), [2.0; 18]);
    assert_eq!(read(Readout::TopM(2), &[0.0, -1.0, 3.0]), [2.5; 18]);
    assert_eq!(read(Readout::TopM(9), &[0.0, -1.0, 3.0]), [7.0 / 3.0; 18]);
    // Scores ln 1, ln 2, ln 5 at temperature 1: weights 1/8, 2/8, 5/8.
    let scores = [0.0, 2.0f32.ln(), 5.0f32.ln()];
    let mean = read(Readout::Ranker { temperature: 1.0 }, &scores);
    assert!(
        (mean[0] - (1.0 + 4.0 + 20.0) / 8.0).abs() < 1e-6,
        "{}",
        mean[0]
    );
    let scores = [1e30, -1e30, 1e30];
    let mean = read(Readout::Ranker { temperature: 1.0 }, &scores);
    assert_eq!(mean, [2.5; 18]);
}

#[test]
fn names_round_trip() {
    for text in [
        "single",
        "meank",
        "mode",
        "mode_medoid",
        "ranker:0.5",
        "top:8",
    ] {
        let readout: Readout = text.parse().unwrap();
        assert_eq!(readout.to_string(), text);
    }
    let ranker: Readout = "ranker".parse().unwrap();
    assert_eq!(ranker, Readout::Ranker { temperature: 4.0 });
    for text in ["", "medoid", "top", "top:x", "single:3", "ranker:"] {
        let error = text.parse::<Readout>().unwrap_err();
        assert!(
            matches!(error, ReadoutError::Name { .. }),
            "{text}: {error}"
        );
    }
    for text in ["top:0", "ranker:0", "ranker:-1", "ranker:nan"] {
        let error = text.parse::<Readout>().unwrap_err();
        assert!(
            matches!(error, ReadoutError::Data(FlowDataError::Setting { .. })),
            "{text}: {error}"
        );
    }
}

#[test]
fn bad_input_is_named() {
    let values = [0.0f32; 36];
    let error = Draws::new(&[], 1, 0, 6, 3).unwrap_err();
    assert_eq!(
        error.to_string(),
        "draws: number of draws K is 0, expected at least 1"
    );
    let error = Draws::new(&values, 1, 3, 6, 3).unwrap_err();
    assert_eq!(error.to_string(), "draws: expected 54 elements, found 36");
    let error = Draws::new(&values, usize::MAX, 2, 6, 3).unwrap_err();
    assert_eq!(error, FlowDataError::TooLarge { tensor: "draws" });

    let draws = Draws::new(&values, 1, 2, 6, 3).unwrap();
    assert!(draws.frame(1).is_none() && draws.frame(usize::MAX).is_none());
    let error = read_out(Readout::Mode, &draws, None, &ModeRule::on_channel(3)).unwrap_err();
    assert!(matches!(
        error,
        ReadoutError::Data(FlowDataError::Channel { found: 3, .. })
    ));
    let error = read_out(Readout::TopM(2), &draws, None, &rule()).unwrap_err();
    assert!(matches!(error, ReadoutError::NoScores { .. }));
    let scored = |scores| read_out(Readout::TopM(2), &draws, Some(scores), &rule()).unwrap_err();
    assert!(matches!(
        scored(&[1.0]),
        ReadoutError::Data(FlowDataError::Length {
            tensor: "scores",
            ..
        })
    ));
    assert!(matches!(
        scored(&[1.0, f32::NAN]),
        ReadoutError::Data(FlowDataError::NotFinite { .. })
    ));
}
