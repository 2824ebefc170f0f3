//! Puzzles as data sets: those of the originals' builders, and arrays of one file.

use attractor::formats::{Array, ArrayMap, npz};
use attractor::worlds::puzzles::{PuzzleKind, PuzzleSet};
use std::path::{Path, PathBuf};

/// A data set of the originals' builders, of 4 x 4 Sudoku.
fn dataset(name: &str, labels: Vec<u8>, metadata: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("test")).unwrap();
    let test = folder.join("test");
    std::fs::write(test.join("dataset.json"), metadata).unwrap();
    let put = |name: &str, array: Array| {
        // A member of an npz archive, stored alone, is a npy file.
        let mut map = ArrayMap::new("a.npz");
        map.insert("a", array).unwrap();
        let bytes = npz::to_bytes(&map).unwrap();
        let mut archive = zip::ZipArchive::new(std::io::Cursor::new(bytes)).unwrap();
        let mut member = archive.by_index(0).unwrap();
        let mut file = std::fs::File::create(test.join(format!("all__{name}.npy"))).unwrap();
        std::io::copy(&mut member, &mut file).unwrap();
    };
    put("inputs", Array::new(&[3, 16], vec![2u8; 48]).unwrap());
    put(
        "labels",
        Array::new(&[labels.len() / 16, 16], labels).unwrap(),
    );
    put(
        "puzzle_indices",
        Array::new(&[3], vec![0i32, 2, 3]).unwrap(),
    );
    put(
        "puzzle_identifiers",
        Array::new(&[2], vec![0i32, 1]).unwrap(),
    );
    folder
}

#[test]
fn data_sets_are_read() {
    let metadata = r#"{"pad_id": 0, "ignore_label_id": 0, "blank_identifier_id": 0, "vocab_size": 6, "seq_len": 16,
        "num_puzzle_identifiers": 2, "total_groups": 2, "mean_puzzle_examples": 1.5, "sets": ["all"]}"#;
    let mut labels = vec![3u8; 48];
    labels[0] = 0;
    let folder = dataset("recursive-set", labels, metadata);
    let set = PuzzleSet::load(&folder, None).unwrap();
    assert_eq!((set.count(), set.seq_len, set.vocab_size), (3, 16, Some(6)));
    assert_eq!(set.puzzles, [0, 0, 1]);
    assert_eq!(set.labels.as_ref().unwrap()[..2], [-100, 3]);
    assert_eq!(set.board.unwrap().kind, PuzzleKind::Sudoku);
    assert_eq!(PuzzleSet::load(&folder.join("test"), None).unwrap(), set);
    let last = set.slice(2..9);
    assert_eq!(
        (last.count(), last.puzzles[0], last.inputs.len()),
        (1, 1, 16)
    );

    let refused = |name: &str, labels: Vec<u8>, metadata: &str, words: &str| {
        let folder = dataset(name, labels, metadata);
        let text = PuzzleSet::load(&folder, None).unwrap_err().to_string();
        assert!(text.contains(words), "{text}");
    };
    refused(
        "recursive-rows",
        vec![3; 32],
        metadata,
        "labels: expected 3 rows as in inputs, found 2",
    );
    refused(
        "recursive-label",
        vec![6; 48],
        metadata,
        "labels: expected tokens below 6, found 6",
    );
    let wide = metadata.replace("16", "9");
    refused(
        "recursive-wide",
        vec![3; 48],
        &wide,
        "expected [N, seq_len = 9], found [3, 16]",
    );
    let few = metadata.replace("\"vocab_size\": 6", "\"vocab_size\": 2");
    refused(
        "recursive-few",
        vec![1; 48],
        &few,
        "inputs: expected numbers in 0..2, found 2",
    );
    let outside = metadata.replace("\"all\"", "\"../all\"");
    refused(
        "recursive-outside",
        vec![3; 48],
        &outside,
        "names of sets in this folder",
    );
    refused(
        "recursive-text",
        vec![3; 48],
        "{",
        "dataset.json: expected keys",
    );
    let nowhere = PuzzleSet::load(&folder.join("test/none"), None).unwrap_err();
    assert!(nowhere.to_string().contains("none"));
}

#[test]
fn arrays_of_one_file_are_puzzles() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data/ftle/models/hrm_learned.safetensors");
    let set = PuzzleSet::load(&path, None).unwrap();
    assert_eq!((set.count(), set.seq_len), (2, 9));
    assert!(set.board.is_none() && set.labels.is_some());
}
