//! Which files belong to which tag and series, by the published names.

use std::path::{Path, PathBuf};

/// Published tags and their files, in the order of `results.md`.
pub const PUBLISHED_TAGS: [(&str, &str); 4] = [
    ("hrm26040_n8192", "diag_8k.npz"),
    (
        "trm_singleGPU_step260410_n512",
        "diag_trm_singleGPU_step260410_512.npz",
    ),
    (
        "trm_singleGPU_step130205_n512",
        "diag_trm_singleGPU_step130205_512.npz",
    ),
    ("trm_step13020_n512", "diag_trm_step13020_512.npz"),
];

/// The tag of a file: the published one, else its name without `diag_` and its extension.
pub fn tag_of(file: &Path) -> String {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let published = PUBLISHED_TAGS.iter().find(|(_, known)| *known == name);
    if let Some((tag, _)) = published {
        return (*tag).to_owned();
    }
    let stem = file.file_stem().unwrap_or_default().to_string_lossy();
    stem.strip_prefix("diag_").unwrap_or(&stem).to_owned()
}

/// The file of one checkpoint of a published series, `hrm` or `trm`.
fn published_file(series: &str, step: u64) -> Option<String> {
    match series {
        "hrm" => Some(format!("diag_hrm_step_{step}_512.npz")),
        "trm" => Some(format!("diag_trm_singleGPU_step{step}_512.npz")),
        _ => None,
    }
}

/// Training steps of a published series, none for another name.
pub fn published_steps(series: &str) -> Vec<u64> {
    let every = match series {
        "hrm" => 2_604,
        "trm" => 26_041,
        _ => return Vec::new(),
    };
    (1..=10).map(|index| index * every).collect()
}

/// The file of a checkpoint of a series in `folder`: under its published name, else the one file named
/// `diag_<series>_...` with the step as a number in it. It need not exist.
pub fn series_file(folder: &Path, series: &str, step: u64) -> Option<PathBuf> {
    let published = published_file(series, step).map(|name| folder.join(name));
    let existing = published.clone().filter(|path| path.exists());
    existing
        .or_else(|| {
            let files = series_files(folder, series).into_iter();
            let found = files.filter(|(found, _)| *found == step);
            found.map(|(_, path)| path).next()
        })
        .or(published)
}

/// The files `diag_<series>_...step<N>....npz` of a folder with their steps, ascending.
pub fn series_files(folder: &Path, series: &str) -> Vec<(u64, PathBuf)> {
    let prefix = format!("diag_{series}_");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u64, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let rest = name.strip_prefix(&prefix)?.strip_suffix(".npz")?;
            Some((step_in(rest)?, entry.path()))
        })
        .collect();
    found.sort();
    found
}

/// The number after the last `step` of a name.
fn step_in(name: &str) -> Option<u64> {
    let (_, rest) = name.rsplit_once("step")?;
    let digits = rest.strip_prefix('_').unwrap_or(rest);
    let end = digits
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(digits.len());
    digits.get(..end)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_steps_of_names() {
        assert_eq!(tag_of(Path::new("a/diag_8k.npz")), "hrm26040_n8192");
        assert_eq!(tag_of(Path::new("a/diag_mine.npz")), "mine");
        assert_eq!(tag_of(Path::new("other.npz")), "other");
        assert_eq!(step_in("step_2604_512"), Some(2604));
        assert_eq!(step_in("singleGPU_step26041_512"), Some(26041));
        assert_eq!(step_in("last"), None);
        assert_eq!(published_steps("hrm").last(), Some(&26_040));
        assert_eq!(published_steps("trm").last(), Some(&260_410));
    }
}
