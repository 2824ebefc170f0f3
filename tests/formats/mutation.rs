//! Thousands of damaged files: every one must load or give an error; none may panic or ask
//! for more than 1 GiB.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use attractor::formats::torch::{Checkpoint, StateDict};
use attractor::formats::{Array, ArrayMap, Limits, npz, parse_arrays, safetensors};
use zip::CompressionMethod;

use crate::support::{Pickle, XorShift, checkpoint_of, data, f32_bytes, zip_of};

const CASES_PER_LOADER: usize = 40_000;
const MEMORY: usize = 1 << 30;

/// What a loader made of its cases.
#[derive(Default, Debug)]
struct Outcome {
    loaded: usize,
    refused: usize,
}

/// Numbers that are wrong in interesting ways, as the low bytes of which any width is taken.
const NUMBERS: [u64; 16] = [
    0,
    1,
    7,
    0x7f,
    0x80,
    0xff,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    i64::MIN as u64,
    u64::MAX,
];

/// One to five changes to a copy of `seed`; splices take from `other`.
pub fn mutate(random: &mut XorShift, seed: &[u8], other: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    let changes = [1, 1, 1, 2, 3, 5][random.below(6)];
    for _ in 0..changes {
        let at = random.below(bytes.len());
        match random.below(8) {
            0 | 1 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
            2 => bytes.truncate(at),
            3 => {
                let from = random.below(other.len());
                let length = random.below(64).min(other.len() - from);
                let end = (at + random.below(64)).min(bytes.len());
                bytes.splice(at..end, other[from..from + length].iter().copied());
            }
            4 => {
                let end = (at + random.below(32)).min(bytes.len());
                bytes.drain(at..end);
            }
            5 => {
                let piece: Vec<u8> = bytes
                    .iter()
                    .skip(at)
                    .take(random.below(48))
                    .copied()
                    .collect();
                bytes.splice(at..at, piece);
            }
            _ => number_at(random, &mut bytes),
        }
    }
    bytes
}

/// Overwrites a place with an interesting number: half of the time at the start or the end,
/// where lengths and counts are, and some of the time a digit of text.
fn number_at(random: &mut XorShift, bytes: &mut [u8]) {
    let width = [1, 2, 4, 8][random.below(4)];
    let at = match random.below(4) {
        0 => random.below(16),
        1 => bytes.len().saturating_sub(1 + random.below(100)),
        _ => random.below(bytes.len()),
    };
    let number = NUMBERS[random.below(NUMBERS.len())].to_le_bytes();
    if random.below(4) == 0 {
        let digit = bytes.iter().skip(at).position(u8::is_ascii_digit);
        if let Some(byte) = digit.and_then(|after| bytes.get_mut(at + after)) {
            *byte = b"0123456789-e"[random.below(12)];
        }
        return;
    }
    for (slot, byte) in bytes.iter_mut().skip(at).zip(&number[..width]) {
        *slot = *byte;
    }
}

/// Loads one file in every way there is.
fn load(file: &Path, bytes: &[u8]) -> Result<(), String> {
    let limits = Limits::default();
    if let Ok(checkpoint) = Checkpoint::parse(file, bytes, &limits) {
        checkpoint.root().describe();
        for key in ["model_state_dict", "optimizer_state_dict", "rng_states"] {
            let choice = StateDict {
                key: Some(key.to_owned()),
                strip_prefixes: true,
            };
            // Refusing is fine; it must not panic.
            let _ = checkpoint.state_dict(&choice);
        }
    }
    let map = parse_arrays(file, bytes, &limits).map_err(|error| error.to_string())?;
    assert_eq!(map.content_hash().len(), 16);
    for (_, array) in map.iter() {
        assert_eq!(
            array.len(),
            if array.shape().contains(&0) {
                0
            } else {
                array.shape().iter().product()
            }
        );
    }
    Ok(())
}

/// Runs `make` for every case and loads what it makes.
fn run(name: &str, seed: u64, mut make: impl FnMut(&mut XorShift) -> Vec<u8>) -> Outcome {
    let mut random = XorShift(seed);
    let file = Path::new(name);
    let mut outcome = Outcome::default();
    for case in 0..CASES_PER_LOADER {
        let bytes = make(&mut random);
        let result = catch_unwind(AssertUnwindSafe(|| load(file, &bytes)));
        match result {
            Ok(Ok(())) => outcome.loaded += 1,
            Ok(Err(text)) => {
                outcome.refused += 1;
                assert!(
                    text.starts_with(name) && !text.contains('\n'),
                    "{name} {case}: {text}"
                );
            }
            Err(_) => panic!("{name}: case {case} of seed {seed:#x} panicked"),
        }
    }
    let (largest, peak) = (crate::ALLOCATOR.largest(), crate::ALLOCATOR.peak());
    assert!(largest <= MEMORY, "{name}: a request of {largest} bytes");
    assert!(peak <= 2 * MEMORY, "{name}: {peak} bytes in use at once");
    // A run in which nothing gets past the first check, or nothing is damaged, shows little.
    assert!(
        outcome.refused > CASES_PER_LOADER / 10,
        "{name}: {outcome:?}"
    );
    assert!(
        outcome.loaded > CASES_PER_LOADER / 100,
        "{name}: {outcome:?}"
    );
    outcome
}

fn seed_arrays() -> ArrayMap {
    let mut map = ArrayMap::new("seed");
    let mut add = |name: &str, array: Result<Array, _>| {
        map.insert(name, array.expect(name)).expect(name);
    };
    add(
        "weight",
        Array::new(&[3, 4], (0..12).map(|i| i as f32).collect::<Vec<_>>()),
    );
    add("bias", Array::new(&[4], vec![0.5_f64; 4]));
    add("steps", Array::new(&[], vec![7_i64]));
    add(
        "mask",
        Array::new(&[2, 3], vec![true, false, true, true, false, false]),
    );
    add("empty", Array::new(&[0, 2], Vec::<u8>::new()));
    map
}

#[test]
fn damaged_safetensors() {
    let mut map = seed_arrays();
    map.metadata_mut()
        .insert("format".to_owned(), "pt".to_owned());
    let small = safetensors::to_bytes(&map).expect("seed");
    let real = std::fs::read(data("torch_state_dict.safetensors")).expect("seed");
    let header_of =
        |bytes: &[u8]| 8 + u64::from_le_bytes(bytes[..8].try_into().expect("8")) as usize;
    run("damaged.safetensors", 0x5afe_7e45, |random| {
        let (seed, other) = if random.below(2) == 0 {
            (&small, &real)
        } else {
            (&real, &small)
        };
        if random.below(2) == 0 {
            return mutate(random, seed, other);
        }
        // Damage only the header, and keep its length true.
        let (head, data) = seed.split_at(header_of(seed));
        let header = mutate(random, &head[8..], &other[8..header_of(other)]);
        [&(header.len() as u64).to_le_bytes()[..], &header, data].concat()
    });
}

#[test]
fn damaged_npz() {
    let mut map = seed_arrays();
    let names = vec!["room".to_owned(), "corridor".to_owned()];
    map.insert("names", Array::new(&[2], names).expect("names"))
        .expect("names");
    let small = npz::to_bytes(&map).expect("seed");
    let real = std::fs::read(data("numpy_arrays.npz")).expect("seed");
    let members = members_of(&[&small, &real]);
    run("damaged.npz", 0x0a77_a15e, |random| {
        if random.below(3) == 0 {
            let (seed, other) = if random.below(2) == 0 {
                (&small, &real)
            } else {
                (&real, &small)
            };
            return mutate(random, seed, other);
        }
        // Damage one member inside of a sound archive.
        let (name, content) = &members[random.below(members.len())];
        let (_, other) = &members[random.below(members.len())];
        let method = [CompressionMethod::Stored, CompressionMethod::Deflated][random.below(2)];
        zip_of(&[(name, &mutate(random, content, other))], method)
    });
}

#[test]
fn damaged_checkpoints() {
    let pickle = Pickle::new()
        .raw(b"}q\x00(")
        .text("model_state_dict")
        .raw(b"}q\x01(")
        .text("w")
        .tensor(("0", 6), 0, &[2, 3], &[3, 1])
        .text("t")
        .tensor(("0", 6), 1, &[2, 2], &[1, 3])
        .raw(b"u")
        .text("iteration")
        .int(3)
        .raw(b"u.")
        .0;
    let storage = f32_bytes(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let small = checkpoint_of(&pickle, &[("0", &storage)]);
    let read = |name: &str| std::fs::read(data(name)).expect("seed");
    let seeds = [
        small,
        read("torch_state_dict.pth"),
        read("torch_compiled_protocol4.pth"),
        read("torch_dagger.pth"),
    ];
    let archives: Vec<_> = seeds.iter().map(|seed| members_of(&[seed])).collect();
    run("damaged.pth", 0xc4ec_4b01, |random| {
        let (at, other) = (random.below(seeds.len()), random.below(seeds.len()));
        if random.below(3) == 0 {
            return mutate(random, &seeds[at], &seeds[other]);
        }
        // Damage the pickle inside of a sound archive.
        let program = |members: &[(String, Vec<u8>)]| {
            let found = members.iter().find(|(name, _)| name.ends_with("data.pkl"));
            found.expect("a pickle").1.clone()
        };
        let damaged = mutate(random, &program(&archives[at]), &program(&archives[other]));
        let members: Vec<(&str, &[u8])> = archives[at]
            .iter()
            .map(|(name, content)| {
                let content = if name.ends_with("data.pkl") {
                    &damaged
                } else {
                    content
                };
                (name.as_str(), content.as_slice())
            })
            .collect();
        zip_of(&members, CompressionMethod::Stored)
    });
}

/// Names and contents of the members of archives.
fn members_of(archives: &[&[u8]]) -> Vec<(String, Vec<u8>)> {
    use std::io::Read;
    let mut members = Vec::new();
    for archive in archives {
        let mut zip = zip::ZipArchive::new(std::io::Cursor::new(*archive)).expect("zip");
        for index in 0..zip.len() {
            let mut entry = zip.by_index(index).expect("member");
            let mut content = Vec::new();
            entry.read_to_end(&mut content).expect("content");
            members.push((entry.name().expect("name").into_owned(), content));
        }
    }
    members
}
