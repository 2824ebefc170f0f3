//! Prediction tables: every container gives back what it was given, and what is wrong is named.

use attractor::formats::predictions::{
    ChannelPredictions, Frames, PredictionError, PredictionTable, TableKind,
};
use attractor::formats::{Array, ArrayMap, Limits, npz};
use std::path::{Path, PathBuf};

/// The containers of this build.
const KINDS: &[(TableKind, &str)] = &[
    (TableKind::Npz, "npz"),
    (TableKind::JsonLines, "jsonl"),
    #[cfg(feature = "parquet")]
    (TableKind::Parquet, "parquet"),
];

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("predictions");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn frames(rows: usize) -> Frames {
    Frames {
        frame_idx: (0..rows as i32).map(|row| 3 * row - 1).collect(),
        time_stamp: (0..rows as i64).map(|row| i64::MAX - row).collect(),
        input_id: (0..rows)
            .map(|row| format!("drive \"{}\" ä", row % 3))
            .collect(),
    }
}

/// Values of every size and sign, from a linear congruential generator (Numerical Recipes).
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed;
    let mut word = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f32::from_bits(state)
    };
    let specials = [
        f32::NAN,
        f32::INFINITY,
        f32::NEG_INFINITY,
        -0.0,
        f32::MAX,
        1e-45,
    ];
    let drawn = std::iter::repeat_with(&mut word);
    specials.into_iter().chain(drawn).take(count).collect()
}

fn table(rows: usize, horizon: usize) -> PredictionTable {
    let count = rows * horizon;
    let channel = |key: &str, seed: u32| {
        ChannelPredictions::scored(key, values(count, seed), values(count, seed + 9)).unwrap()
    };
    let channels = vec![
        channel("steering", 1),
        channel("a/gas", 2),
        channel("brake", 3),
    ];
    PredictionTable::new(frames(rows), horizon, channels).unwrap()
}

/// Equal bit for bit, but for the payload of NaN.
fn same(left: &[f32], right: &[f32]) -> bool {
    let equal = |(a, b): (&f32, &f32)| a.to_bits() == b.to_bits() || (a.is_nan() && b.is_nan());
    left.len() == right.len() && left.iter().zip(right).all(equal)
}

fn assert_same(left: &PredictionTable, right: &PredictionTable) {
    assert_eq!(left.frames(), right.frames());
    assert_eq!(left.horizon(), right.horizon());
    assert_eq!(left.channels().len(), right.channels().len());
    for (a, b) in left.channels().iter().zip(right.channels()) {
        assert_eq!(a.key, b.key);
        assert!(same(&a.ground_truth, &b.ground_truth), "{}", a.key);
        assert!(same(&a.prediction_value, &b.prediction_value), "{}", a.key);
        assert!(same(&a.score_l1, &b.score_l1), "{}", a.key);
    }
}

#[test]
fn every_container_gives_back_what_it_was_given() {
    for &(kind, extension) in KINDS {
        for (rows, horizon) in [(1, 1), (1, 6), (7, 1), (5000, 6)] {
            let table = table(rows, horizon);
            let file = scratch(&format!("whole_{rows}_{horizon}.{extension}"));
            table.save(&file).unwrap();
            assert_same(&PredictionTable::load(&file).unwrap(), &table);
            let bytes = table.to_bytes(&file, kind).unwrap();
            assert_eq!(
                bytes,
                std::fs::read(&file).unwrap(),
                "not the same bytes twice"
            );
        }
    }
}

#[test]
fn scores_are_distances() {
    let channel = ChannelPredictions::scored("s", vec![1.0, -2.0], vec![0.5, 1.0]).unwrap();
    assert_eq!(channel.score_l1, [0.5, 3.0]);
    let wrong = ChannelPredictions::scored("s", vec![1.0], vec![]).unwrap_err();
    assert!(wrong.to_string().contains("prediction_value"), "{wrong}");
}

#[test]
fn columns_that_do_not_fit_are_named() {
    let good = |key: &str| ChannelPredictions::scored(key, vec![0.0; 6], vec![0.0; 6]).unwrap();
    let made = |frames, horizon, channels| {
        let error = PredictionTable::new(frames, horizon, channels).unwrap_err();
        error.to_string()
    };
    let short = |cut: fn(&mut Frames)| {
        let mut frames = frames(3);
        cut(&mut frames);
        made(frames, 2, vec![good("s")])
    };
    assert!(short(|f| f.time_stamp.truncate(1)).contains("time_stamp"));
    assert!(short(|f| f.input_id.push("x".into())).contains("input_id"));
    assert!(short(|f| f.input_id[1].push('\n')).contains("input_id"));
    let mut lame = good("s");
    lame.score_l1.pop();
    let message = made(frames(3), 2, vec![lame]);
    assert!(
        message.contains("policy/score_l1/value/continuous/s"),
        "{message}"
    );
    assert!(
        message.contains("expected 6") && message.contains("found 5"),
        "{message}"
    );
    assert!(made(frames(3), 2, vec![good("s"), good("s")]).contains("twice"));
    assert!(made(frames(3), 2, vec![good("")]).contains("channel key"));
    assert!(made(frames(3), 2, vec![]).contains("channel"));
    assert!(made(frames(3), 0, vec![good("s")]).contains("slot"));
    assert!(made(frames(0), 2, vec![good("s")]).contains("row"));
}

/// What reading this text as JSON Lines complains about.
fn refused(text: &str) -> String {
    let file = Path::new("some.jsonl");
    let error = PredictionTable::parse(file, text.as_bytes(), &Limits::default()).unwrap_err();
    error.to_string()
}

const LINE: &str = r#"{"frame_idx":1,"time_stamp":2,"input_id":"d","more":[1],"policy/ground_truth/value/continuous/s":[1,null],"policy/prediction_value/value/continuous/s":[0.5,"-Infinity"],"policy/score_l1/value/continuous/s":[0.5,1e-3]}"#;

#[test]
fn lines_are_read_as_others_write_them() {
    let text = format!("\n{LINE}\r\n  \n{LINE}");
    let table =
        PredictionTable::parse(Path::new("x"), text.as_bytes(), &Limits::default()).unwrap();
    assert_eq!((table.rows(), table.horizon()), (2, 2));
    let channel = table.channel("s").unwrap();
    assert!(same(&channel.ground_truth, &[1.0, f32::NAN, 1.0, f32::NAN]));
    let below = f32::NEG_INFINITY;
    assert!(same(&channel.prediction_value, &[0.5, below, 0.5, below]));
}

#[test]
fn broken_lines_are_named() {
    let second = |from: &str, to: &str| refused(&format!("{LINE}\n{}", LINE.replace(from, to)));
    for (from, to, words) in [
        ("\"time_stamp\":2,", "", &["line 2", "time_stamp"][..]),
        (
            "[0.5,1e-3]",
            "[0.5]",
            &["line 2", "score_l1", "list of 2", "found 1"],
        ),
        (
            "policy/score_l1",
            "policy/score",
            &["score_l1", "none of that name"],
        ),
        ("\"more\"", "\"frame_idx\"", &["line 2"]),
        (
            "\"more\":[1]",
            "\"frame_idx\":1",
            &["line 2", "frame_idx", "twice"],
        ),
        (
            "\"more\":[1]",
            "\"policy/score_l1/value/continuous/t\":[1,2]",
            &["channel 't'"],
        ),
        ("1e-3", "1e300", &["line 2", "f32"]),
        ("1e-3", "\"many\"", &["line 2", "score_l1", "many"]),
        (":1,", ":1.5,", &["line 2", "1.5"]),
        ("}", "", &["line 2"]),
    ] {
        let message = second(from, to);
        assert!(message.starts_with("some.jsonl: "), "{message}");
        for word in words {
            assert!(message.contains(word), "no \"{word}\" in: {message}");
        }
    }
    assert!(refused("[1]").contains("another kind of file"));
    assert!(refused("").contains("another kind of file"));
    assert!(refused("{\"frame_idx\":1,\"time_stamp\":2,\"input_id\":\"d\"}").contains("slot"));
}

#[test]
fn npz_columns_that_are_missing_or_wrong_are_named() {
    let file = scratch("broken.npz");
    let whole = scratch("whole.npz");
    table(4, 2).save(&whole).unwrap();
    let arrays = npz::load(&whole).unwrap();
    let with = |name: &str, replacement: Option<Array>| {
        let mut changed = ArrayMap::new(&file);
        for (known, array) in arrays.iter().filter(|(known, _)| *known != name) {
            changed.insert(known, array.clone()).unwrap();
        }
        if let Some(array) = replacement {
            changed.insert(name, array).unwrap();
        }
        npz::save(&file, &changed).unwrap();
        PredictionTable::load(&file).unwrap_err().to_string()
    };
    for name in arrays.names() {
        let message = with(name, None);
        assert!(
            message.contains("broken.npz") && message.contains(name),
            "{message}"
        );
        let message = with(name, Some(Array::new(&[3], vec![0_i32; 3]).unwrap()));
        assert!(message.contains("expected"), "{name}: {message}");
    }
    let wide = Array::new(&[4, 3], vec![0_f32; 12]).unwrap();
    let message = with("policy/score_l1/value/continuous/brake", Some(wide));
    assert!(
        message.contains("[4, 2]") && message.contains("[4, 3]"),
        "{message}"
    );
}

#[test]
fn mutated_files_are_refused_or_read_but_never_panic() {
    for &(kind, extension) in KINDS {
        let bytes = table(9, 3).to_bytes(Path::new("x"), kind).unwrap();
        let mut read = 0;
        for round in 0..4000_usize {
            let mut broken = bytes.clone();
            let at = (round.wrapping_mul(2_654_435_761)) % broken.len();
            broken[at] ^= 1 << (round % 8);
            if round % 5 == 0 {
                broken.truncate(at);
            }
            let parsed = PredictionTable::parse(Path::new(extension), &broken, &Limits::default());
            read += usize::from(parsed.is_ok());
        }
        assert!(
            read < 4000,
            "{extension}: every mutation was read as if it were whole"
        );
    }
}

#[test]
fn kinds_are_told_by_name_and_by_content() {
    assert_eq!(
        TableKind::of_path(Path::new("a.b/C.JSONL")).unwrap(),
        TableKind::JsonLines
    );
    let error = table(1, 1).save(scratch("no_extension")).unwrap_err();
    assert!(
        matches!(error, PredictionError::Extension { .. }),
        "{error}"
    );
    // The content decides on reading, whatever the name.
    let file = scratch("really_npz.jsonl");
    let bytes = table(2, 2).to_bytes(&file, TableKind::Npz).unwrap();
    std::fs::write(&file, bytes).unwrap();
    assert_same(&PredictionTable::load(&file).unwrap(), &table(2, 2));
}

#[cfg(not(feature = "parquet"))]
#[test]
fn builds_without_parquet_say_so() {
    let error = table(1, 1).save(scratch("t.parquet")).unwrap_err();
    assert!(error.to_string().contains("--features parquet"), "{error}");
    let parsed = PredictionTable::parse(Path::new("t"), b"PAR1....", &Limits::default());
    assert!(matches!(parsed, Err(PredictionError::NoParquet { .. })));
}

/// Written by pyarrow 26: Snappy, dictionaries, optional lists of optional doubles, row groups of three.
#[cfg(feature = "parquet")]
#[test]
fn parquet_of_another_writer_is_read() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/data/formats/pyarrow_predictions.parquet"
    );
    let table = PredictionTable::load(file).unwrap();
    assert_eq!((table.rows(), table.horizon()), (7, 2));
    assert_eq!(table.frames().frame_idx, [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(table.frames().input_id[5], "d2");
    let channel = table.channel("steering").unwrap();
    for (row, values) in channel.prediction_value.chunks(2).enumerate() {
        assert!(same(values, &[0.5 * row as f32, f32::NAN]), "{values:?}");
    }
}
