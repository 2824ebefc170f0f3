//! Prediction tables as JSON Lines: one object a row.

use super::table::{ChannelPredictions, Frames, PredictionTable};
use super::{FRAME_IDX, INPUT_ID, Kind, PredictionError, TIME_STAMP, keys_of};
use crate::formats::FormatError;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::path::Path;

/// A number that JSON may not be able to write as one.
#[derive(Debug, Clone, Copy)]
struct Number(f32);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            value if value.is_nan() => serializer.serialize_none(),
            f32::INFINITY => serializer.serialize_str("Infinity"),
            f32::NEG_INFINITY => serializer.serialize_str("-Infinity"),
            value => serializer.serialize_f32(value),
        }
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor).map(Number)
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = f32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number in the range of f32, null, \"Infinity\" or \"-Infinity\"")
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<f32, E> {
        let narrow = value as f32;
        if narrow.is_finite() {
            return Ok(narrow);
        }
        Err(E::invalid_value(
            serde::de::Unexpected::Float(value),
            &"a number in the range of f32",
        ))
    }

    fn visit_i64<E>(self, value: i64) -> Result<f32, E> {
        Ok(value as f32)
    }

    fn visit_u64<E>(self, value: u64) -> Result<f32, E> {
        Ok(value as f32)
    }

    fn visit_unit<E>(self) -> Result<f32, E> {
        Ok(f32::NAN)
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<f32, E> {
        match text {
            "NaN" => Ok(f32::NAN),
            "Infinity" => Ok(f32::INFINITY),
            "-Infinity" => Ok(f32::NEG_INFINITY),
            _ => Err(E::invalid_value(
                serde::de::Unexpected::Str(text),
                &"\"NaN\", \"Infinity\" or \"-Infinity\"",
            )),
        }
    }
}

/// The columns of a line that a table has, in the order of the line.
#[derive(Debug, Default)]
struct Row {
    frame_idx: Option<i32>,
    time_stamp: Option<i64>,
    input_id: Option<String>,
    lists: Vec<(String, Vec<Number>)>,
}

impl<'de> Deserialize<'de> for Row {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RowVisitor)
    }
}

struct RowVisitor;

impl<'de> Visitor<'de> for RowVisitor {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the columns of a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        use serde::de::Error;
        let mut row = Row::default();
        while let Some(name) = map.next_key::<String>()? {
            let in_lists = || row.lists.iter().any(|(known, _)| *known == name);
            let again = match name.as_str() {
                FRAME_IDX => row.frame_idx.replace(map.next_value()?).is_some(),
                TIME_STAMP => row.time_stamp.replace(map.next_value()?).is_some(),
                INPUT_ID => row.input_id.replace(map.next_value()?).is_some(),
                _ if Kind::ALL.iter().any(|k| name.starts_with(k.prefix())) => {
                    let again = in_lists();
                    let list = map
                        .next_value()
                        .map_err(|error| Error::custom(format!("column '{name}': {error}")))?;
                    row.lists.push((name.clone(), list));
                    again
                }
                _ => {
                    map.next_value::<serde::de::IgnoredAny>()?;
                    false
                }
            };
            if again {
                return Err(Error::custom(format!("column '{name}' twice")));
            }
        }
        Ok(row)
    }
}

/// Builds the columns row by row; the first row says which channels there are and the horizon.
struct Columns<'a> {
    file: &'a Path,
    frames: Frames,
    channels: Vec<ChannelPredictions>,
    horizon: usize,
}

pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<PredictionTable, PredictionError> {
    let mut columns = Columns {
        file,
        frames: Frames::default(),
        channels: Vec::new(),
        horizon: 0,
    };
    for (index, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let place = format!("line {}", index + 1);
        let row: Row = serde_json::from_slice(line).map_err(|error| PredictionError::Invalid {
            file: file.to_path_buf(),
            place: place.clone(),
            expected: "a JSON object with the columns of a row".into(),
            found: error.to_string(),
        })?;
        columns.push(row, place)?;
    }
    PredictionTable::new(columns.frames, columns.horizon, columns.channels)
}

impl Columns<'_> {
    fn push(&mut self, row: Row, place: String) -> Result<(), PredictionError> {
        let missing = |column: &str| PredictionError::Missing {
            file: self.file.to_path_buf(),
            column: column.to_owned(),
            place: place.clone(),
        };
        let keys = keys_of(row.lists.iter().map(|(name, _)| name.as_str()));
        if self.frames.frame_idx.is_empty() {
            self.horizon = row.lists.first().map_or(0, |(_, list)| list.len());
            self.channels = keys.iter().map(|key| empty(key)).collect();
        } else if let Some(key) = keys.iter().find(|key| self.channel(key).is_none()) {
            return Err(PredictionError::Invalid {
                file: self.file.to_path_buf(),
                place,
                expected: "the channels of the first row".into(),
                found: format!("channel '{key}' too"),
            });
        }
        let frames = &mut self.frames;
        frames
            .frame_idx
            .push(row.frame_idx.ok_or_else(|| missing(FRAME_IDX))?);
        frames
            .time_stamp
            .push(row.time_stamp.ok_or_else(|| missing(TIME_STAMP))?);
        let input_id = row.input_id.ok_or_else(|| missing(INPUT_ID))?;
        frames.input_id.push(input_id);
        for channel in &mut self.channels {
            for kind in Kind::ALL {
                let name = kind.column(&channel.key);
                let list = row.lists.iter().find(|(known, _)| *known == name);
                let (_, list) = list.ok_or_else(|| missing(&name))?;
                if list.len() != self.horizon {
                    return Err(PredictionError::Invalid {
                        file: self.file.to_path_buf(),
                        place: format!("{place}: column '{name}'"),
                        expected: format!("a list of {} values", self.horizon),
                        found: format!("{}", list.len()),
                    });
                }
                let column = match kind {
                    Kind::Truth => &mut channel.ground_truth,
                    Kind::Prediction => &mut channel.prediction_value,
                    Kind::Score => &mut channel.score_l1,
                };
                column.extend(list.iter().map(|number| number.0));
            }
        }
        Ok(())
    }

    fn channel(&self, key: &str) -> Option<&ChannelPredictions> {
        self.channels.iter().find(|channel| channel.key == key)
    }
}

fn empty(key: &str) -> ChannelPredictions {
    ChannelPredictions {
        key: key.to_owned(),
        ground_truth: Vec::new(),
        prediction_value: Vec::new(),
        score_l1: Vec::new(),
    }
}

/// A row of a table, to be written.
struct Line<'a> {
    table: &'a PredictionTable,
    row: usize,
}

impl Serialize for Line<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (table, row, horizon) = (self.table, self.row, self.table.horizon());
        let frames = table.frames();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(FRAME_IDX, &frames.frame_idx.get(row))?;
        map.serialize_entry(TIME_STAMP, &frames.time_stamp.get(row))?;
        map.serialize_entry(INPUT_ID, &frames.input_id.get(row))?;
        for channel in table.channels() {
            for (kind, column) in channel.columns() {
                let list: Vec<Number> = column
                    .iter()
                    .skip(row * horizon)
                    .take(horizon)
                    .map(|value| Number(*value))
                    .collect();
                map.serialize_entry(&kind.column(&channel.key), &list)?;
            }
        }
        map.end()
    }
}

pub(super) fn to_bytes(file: &Path, table: &PredictionTable) -> Result<Vec<u8>, PredictionError> {
    let mut bytes = Vec::new();
    for row in 0..table.rows() {
        serde_json::to_writer(&mut bytes, &Line { table, row }).map_err(|error| {
            FormatError::Io {
                file: file.to_path_buf(),
                action: "write JSON",
                source: error.into(),
            }
        })?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}
