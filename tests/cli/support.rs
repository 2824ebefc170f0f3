//! Runs the program and makes files for it.

use attractor::formats::{Array, ArrayMap, npz, safetensors};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The shipped weights.
pub const WEIGHTS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/assets/remdm_minihack.safetensors"
);
/// Their configuration.
pub const CONFIG: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/remdm_minihack.json");
/// The shipped observations.
pub const OBSERVATIONS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/assets/minihack_eval_observations.npz"
);

/// A path for a test's own file.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("cli");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

/// Runs the program on the CPU device, whatever the environment says.
pub fn attractor<S: AsRef<std::ffi::OsStr>>(arguments: impl IntoIterator<Item = S>) -> Output {
    Command::new(env!("CARGO_BIN_EXE_attractor"))
        .args(arguments)
        .env("ATTRACTOR_DEVICE", "cpu")
        .env_remove("NO_COLOR")
        .output()
        .unwrap()
}

/// Arguments of `plan` for the shipped files.
pub fn plan_shipped<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let mut all = vec!["plan", "--weights", WEIGHTS, "--obs", OBSERVATIONS];
    all.extend(more);
    all
}

/// Standard output as text.
pub fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Checks that the program did well and gives its standard output.
pub fn good(output: &Output) -> String {
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{complaint}");
    text(output)
}

/// Checks that the program refused with this code and one line that holds all these words.
pub fn refused(output: &Output, code: i32, words: &[&str]) {
    let complaint = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(code), "{complaint}");
    assert_eq!(complaint.lines().count(), 1, "{complaint}");
    assert!(complaint.starts_with("error: "), "{complaint}");
    assert!(!complaint.contains("panicked"), "{complaint}");
    for word in words {
        assert!(complaint.contains(word), "no \"{word}\" in: {complaint}");
    }
    assert!(output.stdout.is_empty(), "{}", text(output));
}

/// The shipped weights with one array changed; `None` leaves it out.
pub fn weights_with(name: &str, array: &str, replacement: Option<Array>) -> PathBuf {
    let shipped = safetensors::load(WEIGHTS).unwrap();
    let file = scratch(name);
    let mut changed = ArrayMap::new(&file);
    for (known, values) in shipped.iter().filter(|(known, _)| *known != array) {
        changed.insert(known, values.clone()).unwrap();
    }
    if let Some(replacement) = replacement {
        changed.insert(array, replacement).unwrap();
    }
    safetensors::save(&file, &changed).unwrap();
    file
}

/// Observations of `count` empty rooms, with one array replaced.
pub fn observations_with(name: &str, count: usize, array: &str, replacement: Array) -> PathBuf {
    let file = scratch(name);
    let mut arrays = ArrayMap::new(&file);
    for (known, size) in [("local_obs", [9, 9]), ("global_obs", [21, 79])] {
        if known == array {
            continue;
        }
        let shape = [count, size[0], size[1]];
        let floor = vec![2378_i16; shape.iter().product()];
        arrays
            .insert(known, Array::new(&shape, floor).unwrap())
            .unwrap();
    }
    arrays.insert(array, replacement).unwrap();
    npz::save(&file, &arrays).unwrap();
    file
}
