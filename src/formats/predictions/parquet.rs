//! Prediction tables as Apache Parquet, through the low-level column interface: written uncompressed
//! with three-level lists, read whether columns and elements are optional or not.

use super::table::{ChannelPredictions, Frames, PredictionTable};
use super::{FRAME_IDX, INPUT_ID, Kind, PredictionError, TIME_STAMP, keys_of};
use crate::formats::Limits;
use ::parquet::basic::{ConvertedType, Repetition, Type as Physical};
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, FloatType, Int32Type, Int64Type};
use ::parquet::errors::ParquetError;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::{FileReader, SerializedFileReader};
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::types::{ColumnDescriptor, Type, TypePtr};
use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;

/// Records asked of the decoder at once: what it allocates before the counts can be compared.
const BATCH: usize = 4096;

fn invalid(
    file: &Path,
    place: &str,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> PredictionError {
    PredictionError::Invalid {
        file: file.to_path_buf(),
        place: place.to_owned(),
        expected: expected.into(),
        found: found.into(),
    }
}

/// An opened file and the bound on what may come out of it.
struct Source<'a> {
    file: &'a Path,
    reader: SerializedFileReader<Bytes>,
    /// Most entries of one column.
    most: usize,
}

/// One column over all row groups: its entries, and how many each row has.
struct Column<T> {
    values: Vec<T>,
    lengths: Vec<usize>,
}

pub(super) fn parse(
    file: &Path,
    bytes: &[u8],
    limits: &Limits,
) -> Result<PredictionTable, PredictionError> {
    let opened = SerializedFileReader::new(Bytes::copy_from_slice(bytes));
    let source = Source {
        file,
        reader: opened.map_err(|e| invalid(file, "Parquet file", "a valid one", e.to_string()))?,
        most: usize::try_from(limits.content_bytes(bytes.len()) / 4).unwrap_or(usize::MAX),
    };
    let frames = Frames {
        frame_idx: source.integers(FRAME_IDX)?,
        time_stamp: source.integers(TIME_STAMP)?,
        input_id: source.texts(INPUT_ID)?,
    };
    let metadata = source.reader.metadata().file_metadata();
    let columns = metadata.schema_descr().columns().iter();
    let names: Vec<&str> = columns.filter_map(|column| name_of(column)).collect();
    let keys = keys_of(names);
    let mut horizon = None;
    let mut channels = Vec::new();
    for key in keys {
        let mut lists = |kind: Kind| source.lists(&kind.column(key), &mut horizon);
        channels.push(ChannelPredictions {
            key: key.to_owned(),
            ground_truth: lists(Kind::Truth)?,
            prediction_value: lists(Kind::Prediction)?,
            score_l1: lists(Kind::Score)?,
        });
    }
    PredictionTable::new(frames, horizon.unwrap_or(0), channels)
}

/// The name of the column of the table that a leaf belongs to.
fn name_of(column: &ColumnDescriptor) -> Option<&str> {
    column.path().parts().first().map(String::as_str)
}

impl Source<'_> {
    /// Reads the column of this name through every row group.
    fn column<T>(
        &self,
        name: &str,
        mut decode: impl FnMut(&mut Column<T>, ColumnReader, Shape<'_>) -> Result<(), PredictionError>,
    ) -> Result<Column<T>, PredictionError> {
        let fail = |error: ParquetError| {
            let place = format!("column '{name}'");
            invalid(self.file, &place, "a valid column", error.to_string())
        };
        let schema = self.reader.metadata().file_metadata().schema_descr();
        let mut leaves = schema.columns().iter().enumerate();
        let (index, leaf) = leaves
            .find(|(_, leaf)| name_of(leaf) == Some(name))
            .ok_or_else(|| PredictionError::Missing {
                file: self.file.to_path_buf(),
                column: name.to_owned(),
                place: "table".into(),
            })?;
        let mut column = Column {
            values: Vec::new(),
            lengths: Vec::new(),
        };
        for group in 0..self.reader.num_row_groups() {
            let group = self.reader.get_row_group(group).map_err(fail)?;
            let claimed = group.metadata().num_rows();
            let room = self.most.saturating_sub(column.lengths.len());
            let rows = usize::try_from(claimed).ok().filter(|rows| *rows <= room);
            let rows = rows.ok_or_else(|| {
                let expected = format!("at most {room} rows more");
                invalid(self.file, "row group", expected, claimed.to_string())
            })?;
            let reader = group.get_column_reader(index).map_err(fail)?;
            let before = column.lengths.len();
            let shape = Shape {
                source: self,
                name,
                leaf,
                rows,
            };
            decode(&mut column, reader, shape)?;
            let found = column.lengths.len() - before;
            if found != rows {
                let place = format!("column '{name}'");
                let expected = format!("{rows} rows in a row group");
                return Err(invalid(self.file, &place, expected, found.to_string()));
            }
        }
        Ok(column)
    }

    fn integers<T: TryFrom<i32> + TryFrom<i64> + Absent>(
        &self,
        name: &str,
    ) -> Result<Vec<T>, PredictionError> {
        let column = self.column(name, |column, reader, shape| match reader {
            ColumnReader::Int32ColumnReader(reader) => {
                shape.read(column, reader, |value| T::try_from(*value).ok())
            }
            ColumnReader::Int64ColumnReader(reader) => {
                shape.read(column, reader, |value| T::try_from(*value).ok())
            }
            _ => Err(shape.wrong("integers")),
        })?;
        self.one_a_row(name, column)
    }

    fn texts(&self, name: &str) -> Result<Vec<String>, PredictionError> {
        let column = self.column(name, |column, reader, shape| match reader {
            ColumnReader::ByteArrayColumnReader(reader) => shape.read(column, reader, |value| {
                value.as_utf8().ok().map(str::to_owned)
            }),
            _ => Err(shape.wrong("text")),
        })?;
        self.one_a_row(name, column)
    }

    fn one_a_row<T>(&self, name: &str, column: Column<T>) -> Result<Vec<T>, PredictionError> {
        if column.lengths.iter().all(|length| *length == 1) {
            return Ok(column.values);
        }
        let place = format!("column '{name}'");
        Err(invalid(
            self.file,
            &place,
            "one value a row",
            "a null or a list",
        ))
    }

    fn lists(&self, name: &str, horizon: &mut Option<usize>) -> Result<Vec<f32>, PredictionError> {
        let column = self.column(name, |column, reader, shape| match reader {
            ColumnReader::FloatColumnReader(reader) => {
                shape.read(column, reader, |value| Some(*value))
            }
            ColumnReader::DoubleColumnReader(reader) => shape.read(column, reader, |value| {
                let narrow = *value as f32;
                (narrow.is_finite() || !value.is_finite()).then_some(narrow)
            }),
            _ => Err(shape.wrong("lists of numbers")),
        })?;
        let first = column.lengths.first().copied().unwrap_or(0);
        let horizon = *horizon.get_or_insert(first);
        match column.lengths.iter().find(|length| **length != horizon) {
            None => Ok(column.values),
            Some(found) => {
                let place = format!("column '{name}'");
                let expected = format!("lists of {horizon} values");
                Err(invalid(self.file, &place, expected, found.to_string()))
            }
        }
    }
}

/// A column of one row group: where it is and how its levels are to be read.
struct Shape<'a> {
    source: &'a Source<'a>,
    name: &'a str,
    leaf: &'a ColumnDescriptor,
    rows: usize,
}

/// A physical value that may stand in place of an absent element.
trait Absent {
    fn absent() -> Option<Self>
    where
        Self: Sized;
}

impl Absent for f32 {
    fn absent() -> Option<Self> {
        Some(f32::NAN)
    }
}

macro_rules! never_absent {
    ($($kind:ty),*) => { $(impl Absent for $kind { fn absent() -> Option<Self> { None } })* };
}
never_absent!(i32, i64, String);

impl Shape<'_> {
    fn wrong(&self, expected: &str) -> PredictionError {
        let place = format!("column '{}'", self.name);
        let found = format!("{}", self.leaf.physical_type());
        invalid(self.source.file, &place, expected, found)
    }

    /// Decodes and converts all records of the column in this row group.
    fn read<P: DataType, T: Absent>(
        &self,
        column: &mut Column<T>,
        mut reader: ColumnReaderImpl<P>,
        convert: impl Fn(&P::T) -> Option<T>,
    ) -> Result<(), PredictionError> {
        let place = format!("column '{}'", self.name);
        let fail =
            |expected: &str, found: String| invalid(self.source.file, &place, expected, found);
        let (most_defined, most_repeated) = (self.leaf.max_def_level(), self.leaf.max_rep_level());
        if most_repeated > 1 {
            return Err(fail("lists", "lists of lists".into()));
        }
        let mut left = self.rows;
        while left > 0 {
            let (mut defined, mut repeated, mut values) = (Vec::new(), Vec::new(), Vec::new());
            let (records, count, levels) = reader
                .read_records(
                    left.min(BATCH),
                    Some(&mut defined),
                    Some(&mut repeated),
                    &mut values,
                )
                .map_err(|error| fail("a valid column", error.to_string()))?;
            if records == 0 {
                break;
            }
            left = left.saturating_sub(records);
            if column.values.len() + levels > self.source.most || values.len() != count {
                let expected = format!("at most {} values", self.source.most);
                return Err(fail(&expected, "more".into()));
            }
            let mut present = values.iter();
            for level in 0..levels {
                // Levels that the schema fixes are not written out.
                let depth = defined.get(level).copied().unwrap_or(most_defined);
                if repeated.get(level).copied().unwrap_or(0) == 0 {
                    column.lengths.push(0);
                }
                let entry = if depth == most_defined {
                    let value = present.next();
                    let value =
                        value.ok_or_else(|| fail("as many values as levels", "fewer".into()))?;
                    let converted = convert(value);
                    Some(converted.ok_or_else(|| fail("values in range", "one outside".into()))?)
                } else if depth + 1 == most_defined && self.leaf.self_type().is_optional() {
                    T::absent()
                } else {
                    None
                };
                if let (Some(entry), Some(length)) = (entry, column.lengths.last_mut()) {
                    column.values.push(entry);
                    *length += 1;
                }
            }
        }
        Ok(())
    }
}

pub(super) fn to_bytes(file: &Path, table: &PredictionTable) -> Result<Vec<u8>, PredictionError> {
    encode(table).map_err(|error| invalid(file, "Parquet file", "to be encoded", error.to_string()))
}

fn encode(table: &PredictionTable) -> Result<Vec<u8>, ParquetError> {
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema(table)?, properties)?;
    let mut group = writer.next_row_group()?;
    let frames = table.frames();
    write::<Int32Type>(&mut group, &frames.frame_idx, None)?;
    write::<Int64Type>(&mut group, &frames.time_stamp, None)?;
    let names = frames.input_id.iter();
    let names: Vec<ByteArray> = names.map(|name| name.as_str().into()).collect();
    write::<ByteArrayType>(&mut group, &names, None)?;
    for channel in table.channels() {
        for (_, column) in channel.columns() {
            write::<FloatType>(&mut group, column, Some(table.horizon()))?;
        }
    }
    group.close()?;
    writer.into_inner()
}

fn schema(table: &PredictionTable) -> Result<TypePtr, ParquetError> {
    let plain = |name: &str, physical: Physical, meaning: ConvertedType| {
        let column = Type::primitive_type_builder(name, physical)
            .with_repetition(Repetition::REQUIRED)
            .with_converted_type(meaning);
        Ok::<_, ParquetError>(Arc::new(column.build()?))
    };
    let mut fields = vec![
        plain(FRAME_IDX, Physical::INT32, ConvertedType::NONE)?,
        plain(TIME_STAMP, Physical::INT64, ConvertedType::NONE)?,
        plain(INPUT_ID, Physical::BYTE_ARRAY, ConvertedType::UTF8)?,
    ];
    for channel in table.channels() {
        for (kind, _) in channel.columns() {
            let element = plain("element", Physical::FLOAT, ConvertedType::NONE)?;
            let list = Type::group_type_builder("list")
                .with_repetition(Repetition::REPEATED)
                .with_fields(vec![element])
                .build()?;
            let column = Type::group_type_builder(&kind.column(&channel.key))
                .with_repetition(Repetition::REQUIRED)
                .with_converted_type(ConvertedType::LIST)
                .with_fields(vec![Arc::new(list)])
                .build()?;
            fields.push(Arc::new(column));
        }
    }
    let root = Type::group_type_builder("predictions").with_fields(fields);
    Ok(Arc::new(root.build()?))
}

/// Writes the next column: values one a row, or in lists of `horizon`.
fn write<P: DataType>(
    group: &mut SerializedRowGroupWriter<'_, Vec<u8>>,
    values: &[P::T],
    horizon: Option<usize>,
) -> Result<(), ParquetError> {
    let column = group.next_column()?;
    let mut column =
        column.ok_or_else(|| ParquetError::General("fewer columns than values".into()))?;
    let levels = horizon.map(|horizon| {
        let repeated: Vec<i16> = (0..values.len())
            .map(|index| i16::from(index % horizon.max(1) != 0))
            .collect();
        (vec![1_i16; values.len()], repeated)
    });
    let (defined, repeated) = levels.unzip();
    column
        .typed::<P>()
        .write_batch(values, defined.as_deref(), repeated.as_deref())?;
    column.close()
}
