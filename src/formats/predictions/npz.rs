//! Prediction tables as npz files.

use super::table::{ChannelPredictions, Frames, PredictionTable};
use super::{FRAME_IDX, INPUT_ID, Kind, PredictionError, TIME_STAMP, keys_of};
use crate::formats::{Array, ArrayData, ArrayError, ArrayMap, Limits, npz};
use std::path::Path;

pub(super) fn parse(
    file: &Path,
    bytes: &[u8],
    limits: &Limits,
) -> Result<PredictionTable, PredictionError> {
    let arrays = npz::parse(file, bytes, limits)?;
    let rows = arrays.get(FRAME_IDX)?.len();
    let frames = Frames {
        frame_idx: arrays.expect_i32(FRAME_IDX, &[rows])?,
        time_stamp: arrays.expect_i64(TIME_STAMP, &[rows])?,
        input_id: arrays.expect_strings(INPUT_ID, &[rows])?,
    };
    let keys = keys_of(arrays.names());
    let horizon = match keys.first() {
        None => return Err(PredictionError::Empty { what: "channel" }),
        Some(key) => horizon_of(&arrays, &Kind::Truth.column(key), rows)?,
    };
    let column = |kind: Kind, key: &str| arrays.expect_f32(&kind.column(key), &[rows, horizon]);
    let channels = keys.into_iter().map(|key| {
        Ok(ChannelPredictions {
            key: key.to_owned(),
            ground_truth: column(Kind::Truth, key)?,
            prediction_value: column(Kind::Prediction, key)?,
            score_l1: column(Kind::Score, key)?,
        })
    });
    let channels: Vec<_> = channels.collect::<Result<_, PredictionError>>()?;
    PredictionTable::new(frames, horizon, channels)
}

fn horizon_of(arrays: &ArrayMap, column: &str, rows: usize) -> Result<usize, PredictionError> {
    match arrays.get(column)?.shape() {
        [first, horizon] if *first == rows => Ok(*horizon),
        shape => {
            let source = ArrayError::Invalid {
                expected: format!("shape [{rows}, horizon], as many rows as {FRAME_IDX}"),
                found: format!("shape {shape:?}"),
            };
            Err(arrays.array_error(column, source).into())
        }
    }
}

pub(super) fn to_bytes(file: &Path, table: &PredictionTable) -> Result<Vec<u8>, PredictionError> {
    let mut arrays = ArrayMap::new(file);
    let (rows, horizon) = (table.rows(), table.horizon());
    let frames = table.frames();
    insert(&mut arrays, FRAME_IDX, &[rows], frames.frame_idx.clone())?;
    insert(&mut arrays, TIME_STAMP, &[rows], frames.time_stamp.clone())?;
    insert(&mut arrays, INPUT_ID, &[rows], frames.input_id.clone())?;
    for channel in table.channels() {
        for (kind, column) in channel.columns() {
            let name = kind.column(&channel.key);
            insert(&mut arrays, &name, &[rows, horizon], column.to_vec())?;
        }
    }
    Ok(npz::to_bytes(&arrays)?)
}

fn insert(
    arrays: &mut ArrayMap,
    name: &str,
    shape: &[usize],
    data: impl Into<ArrayData>,
) -> Result<(), PredictionError> {
    let array = Array::new(shape, data).map_err(|source| arrays.array_error(name, source))?;
    Ok(arrays.insert(name, array)?)
}
