//! The driving benchmark: random words, drives by their hashes, the first frames of one of them.

use sha2::{Digest, Sha256};

use super::super::checks::{CaseError, Checks};
use super::super::folder::{Node, integers};
use super::case::Case;
use super::weights::hexadecimal;
use crate::worlds::driving::{
    CONDITION_DIM, Drive, FRAMES, HORIZON, Stream, TARGET_VALUES, TOKENS, sum_of_twelve,
};
use attractor_kernels::philox::philox4x32;

/// Steering above which a slot is a spike, and below which it is flat.
const SPIKE: f32 = 0.5;
const FLAT: f32 = 0.05;

const STREAMS: [Stream; 10] = [
    Stream::Drive,
    Stream::Event,
    Stream::Cruise,
    Stream::Turn,
    Stream::Decide,
    Stream::Obstacle,
    Stream::Brake,
    Stream::Jitter,
    Stream::Longitudinal,
    Stream::Cue,
];

pub(super) fn check(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    for (key, entry) in case.config.entries() {
        match key {
            "philox" => check_words(&entry, checks)?,
            "z12" => check_sums(case, &entry, checks)?,
            "drives" => check_drives(case, &entry, checks)?,
            // The number of the drive below, and words for the reader.
            "drive" | "sha256_order" => {}
            _ if entry.entries().is_empty() && entry.json().is_object() => {}
            _ => case.leave(key.to_owned()),
        }
    }
    check_first_frames(case, checks)
}

fn word(node: &Node<'_>) -> Result<u32, CaseError> {
    u32::try_from(node.as_size()?).map_err(|_| node.wrong("32 bits"))
}

fn words<const N: usize>(vector: &Node<'_>, key: &str) -> Result<[u32; N], CaseError> {
    let list = vector.get(key)?;
    let words: Vec<u32> = list
        .elements()?
        .iter()
        .map(word)
        .collect::<Result<_, _>>()?;
    <[u32; N]>::try_from(words).map_err(|_| list.wrong("another number of words"))
}

/// Vectors of Philox4x32-10; the results are hexadecimal digits.
fn check_words(vectors: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    for (at, vector) in vectors.elements()?.iter().enumerate() {
        let found = philox4x32(words(vector, "ctr")?, words(vector, "key")?);
        let found = found.map(|word| format!("{word:08x}"));
        let expected = vector.get("out")?.elements()?;
        let expected: Result<Vec<&str>, _> = expected.iter().map(Node::as_text).collect();
        let found: Vec<&str> = found.iter().map(String::as_str).collect();
        checks.equal(&format!("philox.{at}"), &found, &expected?);
    }
    Ok(())
}

/// Sums of twelve words.
fn check_sums(case: &Case<'_>, sums: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    for (at, sum) in sums.elements()?.iter().enumerate() {
        let Some(&stream) = STREAMS.get(sum.size("stream")?) else {
            case.leave(format!("z12.{at}"));
            continue;
        };
        let (drive, index) = (word(&sum.get("drive")?)?, word(&sum.get("index")?)?);
        let found = sum_of_twelve(drive, stream, index);
        checks.equal(&format!("z12.{at}"), &[found], &[sum.number("value")?]);
    }
    Ok(())
}

fn sha256(values: &[f32]) -> String {
    let mut hasher = Sha256::new();
    values.iter().for_each(|v| hasher.update(v.to_le_bytes()));
    hexadecimal(hasher)
}

/// Hashes of every drive, and how many of its frames have a spike or are flat throughout.
fn check_drives(case: &Case<'_>, drives: &Node<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    for (number, expected) in drives.entries() {
        let parsed = number.parse::<u32>();
        let drive = Drive::generate(
            parsed.map_err(|_| drives.wrong("numbers of drives"))?,
            FRAMES,
        );
        let frames = drive.targets.as_chunks::<TARGET_VALUES>().0;
        let count =
            |fits: fn(&[f32]) -> bool| frames.iter().filter(|frame| fits(&frame[..])).count();
        for (key, value) in expected.entries() {
            let what = format!("drives.{number}.{key}");
            match key {
                "cond" => {
                    checks.equal(&what, &[&*sha256(&drive.conditions)], &[value.as_text()?]);
                }
                "target" => {
                    checks.equal(&what, &[&*sha256(&drive.targets)], &[value.as_text()?]);
                }
                "spike" => {
                    let found = count(|frame| steering(frame).any(|slot| slot > SPIKE));
                    checks.equal(&what, &[found], &[value.as_size()?]);
                }
                "flat" => {
                    let found = count(|frame| steering(frame).all(|slot| slot < FLAT));
                    checks.equal(&what, &[found], &[value.as_size()?]);
                }
                _ => case.leave(what),
            }
        }
    }
    Ok(())
}

/// |steering| of every slot of a target.
fn steering(frame: &[f32]) -> impl Iterator<Item = f32> + '_ {
    frame
        .chunks(TARGET_VALUES / HORIZON)
        .filter_map(|action| action.last().map(|s| s.abs()))
}

/// As many frames of the drive as there are.
fn check_first_frames(case: &Case<'_>, checks: &mut Checks) -> Result<(), CaseError> {
    let outputs = ["out.cond", "out.target", "out.kind"];
    if !outputs.iter().any(|name| case.arrays.contains(name)) {
        return Ok(());
    }
    let drive = Drive::generate(word(&case.config.get("drive")?)?, FRAMES);
    let channels = TARGET_VALUES / HORIZON;
    for (name, tail, whole) in [
        ("out.cond", [TOKENS, CONDITION_DIM], &drive.conditions),
        ("out.target", [HORIZON, channels], &drive.targets),
    ] {
        if case.arrays.contains(name) {
            case.rows(name, &tail)?;
            let (_, expected) = case.expected(name)?;
            let first = whole.iter().take(expected.len());
            let found: Vec<f64> = first.map(|&value| f64::from(value)).collect();
            checks.equal(name, &found, &expected);
        }
    }
    if case.arrays.contains("out.kind") {
        case.expected("out.kind")?;
        let (_, expected) = integers(&case.arrays, "out.kind")?;
        let found: Vec<i32> = drive.kinds.iter().copied().take(expected.len()).collect();
        checks.equal("out.kind", &found, &expected);
    }
    Ok(())
}
