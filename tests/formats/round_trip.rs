//! What is written is read back, here and by other readers of the same formats.

use std::collections::BTreeMap;

use attractor::formats::{
    Array, ArrayData, ArrayError, ArrayMap, DType, FormatError, load_arrays, npz, safetensors,
    write_atomic,
};
use half::{bf16, f16};

use crate::support::scratch;

/// One array of each type that numpy has as well, a scalar, and empty ones.
fn numpy_arrays() -> ArrayMap {
    let mut map = ArrayMap::new("memory");
    let mut add = |name: &str, shape: &[usize], data: ArrayData| {
        map.insert(name, Array::new(shape, data).expect(name))
            .expect(name);
    };
    add(
        "f32",
        &[2, 2],
        vec![1.5_f32, -0.0, f32::MIN_POSITIVE, f32::INFINITY].into(),
    );
    add("f64", &[3], vec![1e300, -2.5, 0.1].into());
    add("f16", &[2], vec![f16::from_f32(0.5), f16::MAX].into());
    add("i8", &[2], vec![i8::MIN, i8::MAX].into());
    add("u8", &[2, 1], vec![0_u8, 255].into());
    add("i16", &[2], vec![i16::MIN, i16::MAX].into());
    add("u16", &[1], vec![u16::MAX].into());
    add("i32", &[2], vec![i32::MIN, i32::MAX].into());
    add("u32", &[1], vec![u32::MAX].into());
    add("i64", &[2], vec![i64::MIN, i64::MAX].into());
    add("u64", &[1], vec![u64::MAX].into());
    add("bool", &[3], vec![true, false, true].into());
    add("scalar", &[], vec![3.25_f32].into());
    add("empty", &[0, 5], Vec::<f32>::new().into());
    map
}

fn all_arrays() -> ArrayMap {
    let mut map = numpy_arrays();
    let brain = vec![bf16::from_f32(1.0), bf16::NEG_INFINITY];
    map.insert("bf16", Array::new(&[2], brain).expect("bf16"))
        .expect("bf16");
    map
}

fn assert_same(found: &ArrayMap, expected: &ArrayMap) {
    assert_eq!(found.len(), expected.len());
    for (name, array) in expected.iter() {
        assert_eq!(found.get(name).expect(name), array, "{name}");
    }
}

#[test]
fn safetensors_round_trip() {
    let mut map = all_arrays();
    map.metadata_mut()
        .insert("note".to_owned(), "two\nlines \"quoted\"".to_owned());
    map.metadata_mut().insert("zeta".to_owned(), "1".to_owned());
    let path = scratch("safetensors").join("all.bin");
    safetensors::save(&path, &map).expect("save");
    let back = load_arrays(&path).expect("the kind is told by the content");
    assert_same(&back, &map);
    assert_eq!(back.metadata(), map.metadata());
    assert_eq!(
        safetensors::to_bytes(&map).expect("bytes"),
        std::fs::read(&path).expect("file"),
        "the same map gives the same bytes"
    );
}

#[test]
fn the_safetensors_crate_reads_what_is_written() {
    let map = all_arrays();
    let bytes = safetensors::to_bytes(&map).expect("bytes");
    let other = ::safetensors::SafeTensors::deserialize(&bytes).expect("valid");
    assert_eq!(other.len(), map.len());
    for (name, view) in other.iter() {
        let array = map.get(name).expect(name);
        assert_eq!(view.shape(), array.shape());
        assert_eq!(view.dtype().to_string(), array.dtype().name());
        assert_eq!(view.data().len(), array.byte_len());
    }
    let f64s: Vec<u8> = [1e300, -2.5, 0.1_f64]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    assert_eq!(other.tensor("f64").expect("f64").data(), f64s);
}

#[test]
fn npz_round_trip() {
    let mut map = numpy_arrays();
    let names = vec![
        "wall".to_owned(),
        "żółw".to_owned(),
        String::new(),
        "𝄞".to_owned(),
    ];
    map.insert("names", Array::new(&[2, 2], names).expect("names"))
        .expect("names");
    let path = scratch("npz").join("all.bin");
    npz::save(&path, &map).expect("save");
    let back = load_arrays(&path).expect("the kind is told by the content");
    assert_same(&back, &map);
    assert_eq!(
        back.names().collect::<Vec<_>>(),
        map.names().collect::<Vec<_>>()
    );
}

#[test]
fn the_npyz_crate_reads_what_is_written() {
    use std::io::Read;
    let bytes = npz::to_bytes(&numpy_arrays()).expect("bytes");
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(bytes)).expect("zip");
    let mut member = |name: &str| {
        let mut content = Vec::new();
        let mut entry = zip.by_name(name).expect(name);
        assert_eq!(entry.compression(), zip::CompressionMethod::Deflated);
        entry.read_to_end(&mut content).expect(name);
        content
    };
    let content = member("f64.npy");
    let file = npyz::NpyFile::new(&content[..]).expect("npy");
    assert_eq!(file.shape(), [3]);
    assert_eq!(file.into_vec::<f64>().expect("f64"), [1e300, -2.5, 0.1]);
    let content = member("scalar.npy");
    let file = npyz::NpyFile::new(&content[..]).expect("npy");
    assert_eq!(file.shape(), [0_u64; 0]);
    assert_eq!(file.into_vec::<f32>().expect("f32"), [3.25]);
}

#[test]
fn what_a_format_cannot_hold_is_refused_by_name() {
    let error = npz::to_bytes(&all_arrays())
        .expect_err("numpy has no bf16")
        .to_string();
    assert!(error.contains("memory: array 'bf16'"), "{error}");
    let mut map = ArrayMap::new("memory");
    let text = Array::new(&[1], vec!["a".to_owned()]).expect("text");
    map.insert("label", text).expect("once");
    let error = safetensors::to_bytes(&map)
        .expect_err("no text")
        .to_string();
    assert!(error.contains("memory: array 'label'"), "{error}");
}

#[test]
fn the_hash_is_of_the_content() {
    let map = numpy_arrays();
    let mut reversed = ArrayMap::new("elsewhere");
    for (name, array) in map.iter().collect::<Vec<_>>().into_iter().rev() {
        reversed.insert(name, array.clone()).expect("once");
    }
    assert_eq!(map.content_hash(), reversed.content_hash());
    assert_eq!(map.content_hash().len(), 16);

    let hash_of = |name: &str, shape: &[usize], data: ArrayData| {
        let mut map = ArrayMap::new("memory");
        map.insert(name, Array::new(shape, data).expect("array"))
            .expect("once");
        map.content_hash()
    };
    let hashes = [
        hash_of("a", &[4], vec![0_u8, 0, 0, 0].into()),
        hash_of("b", &[4], vec![0_u8, 0, 0, 0].into()),
        hash_of("a", &[2, 2], vec![0_u8, 0, 0, 0].into()),
        hash_of("a", &[4], vec![0_u8, 0, 0, 1].into()),
        hash_of("a", &[1], vec![0_f32].into()),
        hash_of("a", &[1], vec![0_i32].into()),
    ];
    let distinct: std::collections::BTreeSet<_> = hashes.iter().collect();
    assert_eq!(distinct.len(), hashes.len(), "{hashes:?}");
}

#[test]
fn arrays_are_checked() {
    assert_eq!(
        Array::new(&[2, 3], vec![0_f32; 5]),
        Err(ArrayError::Count {
            shape: vec![2, 3],
            expected: 6,
            found: 5
        })
    );
    let huge = Array::new(&[usize::MAX, 2], Vec::<f32>::new());
    assert!(matches!(huge, Err(ArrayError::TooLarge { .. })), "{huge:?}");
    let empty = Array::new(&[usize::MAX, 0], Vec::<f32>::new()).expect("no elements");
    assert!(empty.is_empty());

    let wide = Array::new(&[2], vec![1_i64, i64::from(i32::MAX) + 1]).expect("array");
    assert_eq!(
        wide.to_i32(),
        Err(ArrayError::Range {
            index: 1,
            value: "2147483648".to_owned(),
            target: DType::I32
        })
    );
    assert_eq!(wide.to_i64().map(|values| values.len()), Ok(2));
    let unsigned = Array::new(&[1], vec![u64::MAX]).expect("array");
    assert!(matches!(
        unsigned.to_i64(),
        Err(ArrayError::Range { index: 0, .. })
    ));
    assert!(matches!(
        wide.to_f32(),
        Err(ArrayError::Kind {
            found: DType::I64,
            ..
        })
    ));
    let flag = Array::new(&[1], vec![true]).expect("array");
    assert!(matches!(
        flag.to_i32(),
        Err(ArrayError::Kind {
            found: DType::Bool,
            ..
        })
    ));
    let double = Array::new(&[2], vec![0.1_f64, 1e300]).expect("array");
    assert!(matches!(
        double.to_f32(),
        Err(ArrayError::Range { index: 1, .. })
    ));
    let halves = Array::new(&[2], vec![f16::from_f32(0.5), f16::NAN]).expect("array");
    assert_eq!(halves.first_non_finite(), Some(1));
    assert_eq!(halves.to_f64().map(|values| values[0]), Ok(0.5));
}

#[test]
fn accessors_name_file_array_expected_and_found() {
    let mut map = ArrayMap::new("weights.safetensors");
    for name in ["blocks.0.attn.weight", "blocks.1.attn.weight", "head.bias"] {
        map.insert(name, Array::new(&[2], vec![1_f32, f32::NAN]).expect(name))
            .expect(name);
    }
    let texts = [
        map.get("blocks.0.atn.weight")
            .expect_err("misspelt")
            .to_string(),
        map.expect("head.bias", &[3])
            .expect_err("shape")
            .to_string(),
        map.expect_i32("head.bias", &[2])
            .expect_err("kind")
            .to_string(),
        map.expect_finite_f32("head.bias", &[2])
            .expect_err("NaN")
            .to_string(),
    ];
    let parts = [
        ["'blocks.0.atn.weight'", "'blocks.0.attn.weight'"],
        ["expected shape [3]", "found [2]"],
        ["expected an integer type", "found F32"],
        ["expected finite values", "found NaN at index 1"],
    ];
    for (text, parts) in texts.iter().zip(parts) {
        assert!(text.starts_with("weights.safetensors: array '"), "{text}");
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    let twice = map.insert(
        "head.bias",
        Array::new(&[0], Vec::<f32>::new()).expect("array"),
    );
    assert!(matches!(twice, Err(FormatError::Array { .. })));
}

#[test]
fn prefixes_go_only_when_all_names_have_them() {
    let map_of = |names: &[&str]| {
        let mut map = ArrayMap::new("memory");
        for name in names {
            map.insert(*name, Array::new(&[0], Vec::<f32>::new()).expect("array"))
                .expect("once");
        }
        map
    };
    let prefixes = ["_orig_mod.", "module."];
    let mut all = map_of(&["module._orig_mod.a", "module._orig_mod.b"]);
    assert_eq!(
        all.strip_common_prefixes(&prefixes),
        ["module.", "_orig_mod."]
    );
    assert!(all.contains("a") && all.get("b").is_ok());
    let mut some = map_of(&["module.a", "b"]);
    assert!(some.strip_common_prefixes(&prefixes).is_empty());
    assert!(some.contains("module.a"));
}

#[test]
fn writing_is_atomic() {
    let folder = scratch("atomic");
    let path = folder.join("result.bin");
    write_atomic(&path, b"one").expect("write");
    write_atomic(&path, b"two").expect("replace");
    assert_eq!(std::fs::read(&path).expect("read"), b"two");
    let names: Vec<_> = std::fs::read_dir(&folder).expect("list").collect();
    assert_eq!(names.len(), 1, "no temporary file is left: {names:?}");
    let error = write_atomic(folder.join("no/such/folder"), b"x").expect_err("no folder");
    assert!(error.to_string().contains("cannot write"), "{error}");
    // A folder in the way: the rename fails, and the temporary file goes.
    std::fs::create_dir(folder.join("taken")).expect("folder");
    assert!(write_atomic(folder.join("taken"), b"x").is_err());
    assert_eq!(std::fs::read_dir(&folder).expect("list").count(), 2);
}

#[test]
fn metadata_of_a_plain_file_is_empty() {
    let bytes = safetensors::to_bytes(&numpy_arrays()).expect("bytes");
    let limits = attractor::formats::Limits::default();
    let back = safetensors::parse(std::path::Path::new("x"), &bytes, &limits).expect("parse");
    assert_eq!(back.metadata(), &BTreeMap::new());
}
