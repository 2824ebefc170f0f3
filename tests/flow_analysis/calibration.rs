use attractor::analysis::flow::{Draws, FlowDataError, Mark, ModeTest, calibrate};

/// Frames of 4 draws of one slot and channel.
const DRAWS: [f32; 16] = [
    0.3,
    -0.3,
    0.2,
    0.0, // two of four turn
    0.9,
    0.9,
    0.9,
    0.9, // all
    0.0,
    0.0,
    0.0,
    -0.9, // one
    0.0,
    f32::NAN,
    0.0,
    0.0,
];

fn mark(frame: usize, probability: f64, happened: bool) -> Mark {
    Mark {
        frame,
        probability,
        happened,
    }
}

#[test]
fn shares_and_frequencies_by_class() {
    let draws = Draws::new(&DRAWS, 4, 4, 1, 1).unwrap();
    let marks = [
        mark(1, 0.85, true),
        mark(0, 0.12, false),
        mark(2, 0.12, true),
        mark(3, 0.12, true),
    ];
    let found = calibrate(&draws, 0, ModeTest::AbsoluteAbove(0.25), &marks).unwrap();
    assert_eq!(found.dropped, 1);
    let rows: Vec<_> = found
        .rows
        .iter()
        .map(|row| (row.probability, row.marks, row.frequency, row.draw_share))
        .collect();
    assert_eq!(
        rows,
        [
            (0.12, 2, Some(0.5), Some(0.375)),
            (0.85, 1, Some(1.0), Some(1.0))
        ]
    );
    let expected = (2.0 * (0.375 - 0.12) + 0.15) / 3.0;
    assert!((found.error.unwrap() - expected).abs() < 1e-15);
    let signed = calibrate(&draws, 0, ModeTest::Above(0.25), &marks).unwrap();
    assert_eq!(signed.rows[0].draw_share, Some(0.125));
}

#[test]
fn no_mark_no_row() {
    let draws = Draws::new(&DRAWS, 4, 4, 1, 1).unwrap();
    let found = calibrate(&draws, 0, ModeTest::Above(0.25), &[]).unwrap();
    assert!(found.rows.is_empty() && found.error.is_none());
}

#[test]
fn bad_marks_are_named() {
    let draws = Draws::new(&DRAWS, 4, 4, 1, 1).unwrap();
    let fails =
        |channel, mark| calibrate(&draws, channel, ModeTest::Above(0.25), &[mark]).unwrap_err();
    assert!(matches!(
        fails(1, mark(0, 0.5, true)),
        FlowDataError::Channel { .. }
    ));
    assert!(matches!(
        fails(0, mark(4, 0.5, true)),
        FlowDataError::Frame { found: 4, .. }
    ));
    assert!(matches!(
        fails(0, mark(0, f64::NAN, true)),
        FlowDataError::Setting { .. }
    ));
}
