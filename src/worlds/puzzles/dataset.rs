//! Puzzles as arrays: the folders that the originals' builders write, and single files.

use super::{Board, IGNORED, PuzzleError, PuzzleKind, PuzzleSet};
use crate::formats::{Array, ArrayMap, Limits, load_arrays, load_npy, read_file};
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// `dataset.json`; other keys are about training.
#[derive(Debug, Deserialize)]
struct Metadata {
    vocab_size: usize,
    seq_len: usize,
    #[serde(default)]
    num_puzzle_identifiers: Option<usize>,
    #[serde(default)]
    ignore_label_id: Option<i64>,
    #[serde(default = "all")]
    sets: Vec<String>,
}

fn all() -> Vec<String> {
    vec!["all".into()]
}

/// Largest `dataset.json`.
const METADATA_BYTES: u64 = 1 << 20;

impl PuzzleSet {
    /// Puzzles of a folder with `dataset.json` (the folder itself, or its `test`), of a file of arrays
    /// (`inputs` `[N, S]`, and where known `labels` `[N, S]` and `puzzle_identifiers` `[N]`), or of text.
    ///
    /// # Errors
    /// [`PuzzleError`] naming the file, the array or the line that is not as it must be.
    pub fn load(path: &Path, kind: Option<PuzzleKind>) -> Result<Self, PuzzleError> {
        if path.is_dir() {
            return folder(path, kind);
        }
        let name = path
            .extension()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        if ["npz", "safetensors"].contains(&name.to_ascii_lowercase().as_str()) {
            return single(&load_arrays(path)?, kind);
        }
        let bytes = read_file(path, &Limits::default())?;
        let file = path.display().to_string();
        let text = String::from_utf8(bytes).map_err(|error| {
            let data = "bytes that are not".to_string();
            let at = error.utf8_error().valid_up_to();
            wrong(
                &file,
                "the file",
                "text in UTF-8",
                format!("{data} at {at}"),
            )
        })?;
        Self::from_text(&file, &text, kind)
    }
}

fn wrong(
    file: &str,
    what: &'static str,
    expected: impl ToString,
    found: impl ToString,
) -> PuzzleError {
    PuzzleError::Data {
        file: file.to_string(),
        what,
        expected: expected.to_string(),
        found: found.to_string(),
    }
}

fn folder(path: &Path, kind: Option<PuzzleKind>) -> Result<PuzzleSet, PuzzleError> {
    let shown = path.display().to_string();
    let there = |folder: &PathBuf| folder.join("dataset.json").is_file();
    let own = [path.to_path_buf(), path.join("test")]
        .into_iter()
        .find(there);
    let folder = own.ok_or_else(|| {
        let expected = "dataset.json there or below test";
        wrong(&shown, "the folder", expected, "none")
    })?;
    let file = folder.join("dataset.json");
    let limits = Limits {
        file_bytes: METADATA_BYTES,
        ..Limits::default()
    };
    let bytes = read_file(&file, &limits)?;
    let file = file.display().to_string();
    let metadata: Metadata = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(&file, "dataset.json", "keys of a data set", error))?;
    let mut set = PuzzleSet {
        seq_len: metadata.seq_len,
        vocab_size: Some(metadata.vocab_size),
        num_puzzle_identifiers: metadata.num_puzzle_identifiers,
        board: board(kind, Some(metadata.vocab_size), metadata.seq_len),
        labels: Some(Vec::new()),
        ..PuzzleSet::default()
    };
    for name in &metadata.sets {
        if name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(wrong(&file, "sets", "names of sets in this folder", name));
        }
        let part = |array: &str| folder.join(format!("{name}__{array}.npy"));
        append(&mut set, &metadata, part)?;
    }
    if set.count() == 0 {
        return Err(wrong(&shown, "the folder", "at least one example", 0));
    }
    Ok(set)
}

/// Adds the examples of one set.
fn append(
    set: &mut PuzzleSet,
    metadata: &Metadata,
    part: impl Fn(&str) -> PathBuf,
) -> Result<(), PuzzleError> {
    let (rows, tokens) = matrix(&part("inputs"), metadata.seq_len)?;
    let file = part("inputs").display().to_string();
    set.inputs
        .extend(in_range(&file, "inputs", &tokens, metadata.vocab_size)?);
    let (labelled, labels) = matrix(&part("labels"), metadata.seq_len)?;
    let file = part("labels").display().to_string();
    if labelled != rows {
        return Err(wrong(
            &file,
            "labels",
            format!("{rows} rows as in inputs"),
            labelled,
        ));
    }
    let most = metadata.vocab_size;
    let asked = |label: i64| (Some(label) != metadata.ignore_label_id).then_some(label);
    let labels = labels_of(&file, labels.into_iter().map(asked), most)?;
    set.labels.get_or_insert_default().extend(labels);
    let file = part("puzzle_indices").display().to_string();
    let indices = vector(&part("puzzle_indices"))?;
    let identifiers = vector(&part("puzzle_identifiers"))?;
    if indices.len() != identifiers.len() + 1 {
        let expected = format!("{} numbers, one more than puzzles", identifiers.len() + 1);
        return Err(wrong(&file, "puzzle_indices", expected, indices.len()));
    }
    let ordered = indices.is_sorted() && indices.first() == Some(&0);
    if !ordered || indices.last().copied() != i64::try_from(rows).ok() {
        let expected = format!("ascending numbers from 0 to {rows}");
        return Err(wrong(&file, "puzzle_indices", expected, "others"));
    }
    let file = part("puzzle_identifiers").display().to_string();
    let most = metadata.num_puzzle_identifiers.unwrap_or(u32::MAX as usize);
    let identifiers = in_range(&file, "puzzle_identifiers", &identifiers, most)?;
    for (identifier, range) in identifiers.into_iter().zip(indices.windows(2)) {
        if let &[first, end] = range {
            // Ascending and within the rows, as was checked.
            let examples = usize::try_from(end - first).unwrap_or(0);
            set.puzzles
                .extend(std::iter::repeat_n(identifier, examples));
        }
    }
    Ok(())
}

fn single(arrays: &ArrayMap, kind: Option<PuzzleKind>) -> Result<PuzzleSet, PuzzleError> {
    let file = arrays.file().display().to_string();
    let inputs = arrays.get("inputs")?;
    let &[rows, cells] = inputs.shape() else {
        let found = format!("{:?}", inputs.shape());
        return Err(wrong(&file, "inputs", "shape [N, S]", found));
    };
    if rows == 0 || cells == 0 {
        return Err(wrong(
            &file,
            "inputs",
            "at least one example of one cell",
            format!("[{rows}, {cells}]"),
        ));
    }
    let most = u32::MAX as usize;
    let tokens = in_range(
        &file,
        "inputs",
        &arrays.expect_i64("inputs", &[rows, cells])?,
        most,
    )?;
    let labels = match arrays.contains("labels") {
        false => None,
        true => {
            let labels = arrays.expect_i64("labels", &[rows, cells])?.into_iter();
            let asked = |label: i64| (label >= 0).then_some(label);
            Some(labels_of(&file, labels.map(asked), most)?)
        }
    };
    let puzzles = match arrays.contains("puzzle_identifiers") {
        false => vec![0; rows],
        true => {
            let found = arrays.expect_i64("puzzle_identifiers", &[rows])?;
            in_range(&file, "puzzle_identifiers", &found, most)?
        }
    };
    Ok(PuzzleSet {
        seq_len: cells,
        inputs: tokens,
        labels,
        puzzles,
        board: board(kind, None, cells),
        ..PuzzleSet::default()
    })
}

/// The board of a kind that is asked for, or that the vocabulary tells.
fn board(kind: Option<PuzzleKind>, vocab_size: Option<usize>, cells: usize) -> Option<Board> {
    match (kind, vocab_size) {
        (Some(kind), _) => Board::of_cells(kind, cells),
        (None, Some(vocab_size)) => Board::of_tokens(vocab_size, cells),
        (None, None) => None,
    }
}

/// Labels in the range of tokens, ignored where none is asked.
fn labels_of(
    file: &str,
    labels: impl Iterator<Item = Option<i64>>,
    most: usize,
) -> Result<Vec<i32>, PuzzleError> {
    let one = |label: Option<i64>| match label {
        None => Ok(IGNORED),
        Some(label) => i32::try_from(label)
            .ok()
            .filter(|label| usize::try_from(*label).is_ok_and(|label| label < most))
            .ok_or_else(|| wrong(file, "labels", format!("tokens below {most}"), label)),
    };
    labels.map(one).collect()
}

fn in_range(
    file: &str,
    what: &'static str,
    values: &[i64],
    most: usize,
) -> Result<Vec<u32>, PuzzleError> {
    let one = |&value: &i64| {
        let word = u32::try_from(value)
            .ok()
            .filter(|word| (*word as usize) < most);
        word.ok_or_else(|| wrong(file, what, format!("numbers in 0..{most}"), value))
    };
    values.iter().map(one).collect()
}

fn numbers(path: &Path, array: &Array) -> Result<Vec<i64>, PuzzleError> {
    let values = array.to_i64();
    values.map_err(|error| wrong(&path.display().to_string(), "the array", "integers", error))
}

/// Rows and elements of an array `[rows, width]`.
fn matrix(path: &Path, width: usize) -> Result<(usize, Vec<i64>), PuzzleError> {
    let array = load_npy(path)?;
    match *array.shape() {
        [rows, found] if found == width => Ok((rows, numbers(path, &array)?)),
        ref found => {
            let expected = format!("[N, seq_len = {width}]");
            Err(wrong(
                &path.display().to_string(),
                "shape",
                expected,
                format!("{found:?}"),
            ))
        }
    }
}

fn vector(path: &Path) -> Result<Vec<i64>, PuzzleError> {
    let array = load_npy(path)?;
    match array.shape() {
        [_] => numbers(path, &array),
        found => {
            let found = format!("{found:?}");
            Err(wrong(
                &path.display().to_string(),
                "shape",
                "one dimension",
                found,
            ))
        }
    }
}
