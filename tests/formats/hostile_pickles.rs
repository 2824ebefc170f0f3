//! Checkpoints that call something, reach outside of their storages, or grow without end.

use std::path::Path;

use attractor::formats::pickle::{self, PickleValue};
use attractor::formats::torch::{Checkpoint, StateDict};
use attractor::formats::{ArrayMap, FormatError, Limits, parse_arrays};
use zip::CompressionMethod;

use crate::support::{Pickle, checkpoint_of, f32_bytes, zip_of};

const FILE: &str = "evil.pth";

fn load(bytes: &[u8]) -> Result<ArrayMap, FormatError> {
    parse_arrays(Path::new(FILE), bytes, &Limits::default())
}

fn refused(bytes: &[u8], parts: &[&str]) {
    let text = load(bytes)
        .expect_err(&format!("must be refused: {parts:?}"))
        .to_string();
    assert!(text.starts_with("evil.pth: "), "{text}");
    assert!(!text.contains('\n'), "{text}");
    for part in parts {
        assert!(text.contains(part), "expected '{part}' in: {text}");
    }
}

/// A checkpoint `{"w": tensor}` over four f32 in storage 0.
fn one_tensor(offset: i64, shape: &[i64], stride: &[i64]) -> Vec<u8> {
    let pickle = Pickle::dict_of("w", |p| p.tensor(("0", 4), offset, shape, stride));
    checkpoint_of(&pickle, &[("0", &f32_bytes(&[1.0, 2.0, 3.0, 4.0]))])
}

#[test]
fn a_good_one_loads() {
    let map = load(&one_tensor(1, &[3], &[1])).expect("contiguous");
    assert_eq!(map.expect_f32("w", &[3]).expect("w"), [2.0, 3.0, 4.0]);
    let map = load(&one_tensor(0, &[2, 2], &[1, 2])).expect("transposed");
    assert_eq!(
        map.expect_f32("w", &[2, 2]).expect("w"),
        [1.0, 3.0, 2.0, 4.0]
    );
    let map = load(&one_tensor(3, &[2, 1], &[0, i64::MAX])).expect("expanded");
    assert_eq!(map.expect_f32("w", &[2, 1]).expect("w"), [4.0, 4.0]);
}

#[test]
fn calls_are_refused_by_name() {
    let call = |pickle: Pickle| checkpoint_of(&pickle.raw(b".").0, &[]);
    let refuse = |pickle: Pickle, name: &str| {
        refused(
            &call(pickle),
            &[
                "archive/data.pkl at byte",
                &format!("refuses to call `{name}`"),
            ],
        );
    };
    refuse(
        Pickle::new().call("os", "system", "echo owned"),
        "os.system",
    );
    refuse(
        Pickle::new().call("posix", "system", "echo owned"),
        "posix.system",
    );
    refuse(Pickle::new().call("builtins", "eval", "1"), "builtins.eval");
    refuse(
        Pickle::new().call("__builtin__", "eval", "1"),
        "__builtin__.eval",
    );
    refuse(Pickle::new().call("torch", "load", "x"), "torch.load");
    refuse(Pickle::new().call("my.model", "Net", "x"), "my.model.Net");
    // Deep inside, beside tensors.
    refuse(
        Pickle::new()
            .raw(b"}")
            .text("state")
            .raw(b"]")
            .call("os", "system", "x")
            .raw(b"as"),
        "os.system",
    );
    // STACK_GLOBAL, NEWOBJ, NEWOBJ_EX, INST, and BUILD on a class.
    refuse(
        Pickle::new()
            .text("os")
            .text("system")
            .raw(b"\x93")
            .text("x")
            .raw(b"\x85R"),
        "os.system",
    );
    refuse(
        Pickle::new()
            .global("subprocess", "Popen")
            .text("x")
            .raw(b"\x85\x81"),
        "subprocess.Popen",
    );
    refuse(
        Pickle::new().global("subprocess", "Popen").raw(b")}\x92"),
        "subprocess.Popen",
    );
    refuse(
        Pickle::new().raw(b"(").text("x").raw(b"ios\nsystem\n"),
        "os.system",
    );
    refuse(
        Pickle::new().global("torch", "Tensor").raw(b"}b"),
        "torch.Tensor",
    );
    // Through a rebuild function that calls its argument.
    refuse(
        Pickle::new()
            .global("torch._tensor", "_rebuild_from_type_v2")
            .raw(b"(")
            .global("os", "system")
            .global("torch", "Tensor")
            .text("x")
            .raw(b"\x85}tR"),
        "os.system",
    );
    // What a call gave cannot be called.
    refuse(
        Pickle::new().call("torch", "device", "cpu").raw(b")R"),
        "a value made by this pickle",
    );
}

#[test]
fn the_oldest_protocol_is_refused_by_name_too() {
    refused(
        &checkpoint_of(b"cos\nsystem\n(S'echo owned'\ntR.", &[]),
        &["refuses to call `os.system`"],
    );
    refused(
        &checkpoint_of(b"(S'echo owned'\nios\nsystem\n.", &[]),
        &["`os.system`"],
    );
}

#[test]
fn a_name_that_is_not_called_is_harmless() {
    let pickle = Pickle::new()
        .raw(b"}")
        .text("f")
        .global("os", "system")
        .raw(b"s.")
        .0;
    let bytes = checkpoint_of(&pickle, &[]);
    let checkpoint = Checkpoint::parse(Path::new(FILE), &bytes, &Limits::default()).expect("inert");
    assert!(matches!(
        checkpoint.root().get("f"),
        Some(PickleValue::Global(_))
    ));
    refused(
        &bytes,
        &["checkpoint", "a dictionary of tensors", "a dict of 1 ('f')"],
    );
}

#[test]
fn views_outside_of_their_storage() {
    let outside = ["array 'w'", "inside of its 16 bytes of storage"];
    refused(&one_tensor(1, &[4], &[1]), &outside);
    refused(&one_tensor(0, &[2, 2], &[3, 2]), &outside);
    refused(&one_tensor(i64::MAX, &[1], &[1]), &outside);
    refused(&one_tensor(0, &[3], &[i64::MAX]), &outside);
    refused(
        &one_tensor(0, &[1 << 40, 1 << 40], &[0, 0]),
        &["array 'w'", "fits in memory"],
    );
    // In bounds, but a terabyte of the same element.
    refused(
        &one_tensor(0, &[1 << 38], &[0]),
        &["tensor 'w'", "at most 268435456"],
    );
    refused(
        &one_tensor(0, &[-1], &[1]),
        &["data.pkl at byte", "_rebuild_tensor_v2"],
    );
    refused(
        &one_tensor(-1, &[1], &[1]),
        &["data.pkl at byte", "_rebuild_tensor_v2"],
    );
    refused(
        &one_tensor(0, &[2, 2], &[1]),
        &["2 dimensions and 1 strides"],
    );
    refused(
        &one_tensor(0, &[1; 40], &[1; 40]),
        &["at most 32 dimensions"],
    );
}

#[test]
fn storages_that_lie() {
    let pickle = Pickle::dict_of("w", |p| p.tensor(("0", 4), 0, &[4], &[1]));
    refused(
        &checkpoint_of(&pickle, &[]),
        &["array 'w'", "no member 'archive/data/0'"],
    );
    refused(
        &checkpoint_of(&pickle, &[("0", &[0; 12])]),
        &[
            "array 'w'",
            "a storage of 4 elements (Typed(F32)) in data/0",
            "found 12 bytes",
        ],
    );
    refused(
        &checkpoint_of(&pickle, &[("0", &[0; 20])]),
        &["array 'w'", "found 20 bytes"],
    );
    let complex = Pickle::dict_of("w", |p| {
        p.global("torch._utils", "_rebuild_tensor_v2")
            .raw(b"(")
            .storage("ComplexFloatStorage", "0", 1)
            .int(0)
            .raw(b"))\x89NtR")
    });
    refused(
        &checkpoint_of(&complex, &[("0", &[0; 8])]),
        &["array 'w'", "found torch.ComplexFloatStorage"],
    );
    let wrong = Pickle::dict_of("w", |p| p.raw(b"(").text("module").raw(b"tQ"));
    refused(
        &checkpoint_of(&wrong, &[]),
        &["a storage of PyTorch", "another persistent id"],
    );
}

#[test]
fn archives_that_are_not_checkpoints() {
    let pickle = Pickle::dict_of("w", |p| p.tensor(("0", 1), 0, &[1], &[1]));
    let storage = [0_u8; 4];
    let big = [
        ("a/data.pkl", pickle.as_slice()),
        ("a/data/0", &storage),
        ("a/byteorder", b"big"),
    ];
    refused(
        &zip_of(&big, CompressionMethod::Stored),
        &["byte order 'big' is not supported"],
    );
    let two = [
        ("a/data.pkl", pickle.as_slice()),
        ("b/data.pkl", pickle.as_slice()),
    ];
    let opened = |bytes: &[u8]| {
        Checkpoint::parse(Path::new(FILE), bytes, &Limits::default())
            .expect_err("not a checkpoint")
            .to_string()
    };
    let npz = zip_of(&[("x.npy", &storage)], CompressionMethod::Stored);
    assert!(opened(&npz).contains("expected one member data.pkl, found none"));
    assert!(opened(b"12345678{}").contains("expected a PyTorch zip checkpoint"));
    assert!(opened(b"text").contains("not a safetensors, npz or PyTorch"));
    refused(
        &zip_of(&two, CompressionMethod::Stored),
        &["one member data.pkl", "several"],
    );
    let whole = checkpoint_of(&pickle, &[("0", &storage)]);
    refused(&whole[..whole.len() / 2], &["zip directory"]);
    refused(
        &checkpoint_of(&pickle[..pickle.len() - 3], &[]),
        &["data.pkl", "truncated"],
    );
    refused(
        &checkpoint_of(&[&pickle[..], b"."].concat(), &[]),
        &["the end after the STOP"],
    );
}

#[test]
fn entries_that_are_no_tensors() {
    let pickle = Pickle::new()
        .raw(b"}")
        .text("state_dict")
        .raw(b"}(")
        .text("w")
        .tensor(("0", 1), 0, &[1], &[1])
        .text("extra")
        .call("torch", "device", "cpu")
        .raw(b"us.")
        .0;
    refused(
        &checkpoint_of(&pickle, &[("0", &[0; 4])]),
        &[
            "array 'extra'",
            "expected a tensor",
            "found an object of torch.device",
        ],
    );
    let nested = Pickle::new()
        .raw(b"}")
        .text("model")
        .raw(b"}")
        .text("layer")
        .raw(b"}")
        .text("w")
        .tensor(("0", 1), 0, &[1], &[1])
        .raw(b"sss.")
        .0;
    let map = load(&checkpoint_of(&nested, &[("0", &[0; 4])])).expect("nested");
    assert_eq!(map.names().collect::<Vec<_>>(), ["layer.w"]);
}

#[test]
fn pickles_that_grow_or_nest() {
    // A list inside itself.
    refused(
        &checkpoint_of(b"\x80\x02]q\x00h\x00a.", &[]),
        &["one that contains itself"],
    );
    // A hundred lists, each inside the next.
    let deep = [&[0x80, 2][..], &[b']'; 100], &[b'a'; 99], b"."].concat();
    refused(
        &checkpoint_of(&deep, &[]),
        &["nesting of containers", "at most 64"],
    );
    // Thirty levels that each hold the one below twice: shared, not copied.
    let mut laughs = Pickle::new().raw(b"]q\x00");
    for level in 0..30_u8 {
        laughs = laughs.raw(&[b']', b'q', level + 1, b'(', b'h', level, b'h', level, b'e']);
    }
    let bytes = checkpoint_of(&laughs.raw(b".").0, &[]);
    let checkpoint = Checkpoint::parse(Path::new(FILE), &bytes, &Limits::default());
    assert!(matches!(
        checkpoint.expect("shared").root().items(),
        Some([_, _])
    ));
    // The same of dictionaries, asked for as a state dictionary.
    let mut laughs = Pickle::new().raw(b"}q\x00");
    for level in 0..30_u8 {
        laughs = laughs.raw(&[b'}', b'q', level + 1, b'(']);
        laughs = laughs
            .text("a")
            .raw(&[b'h', level])
            .text("b")
            .raw(&[b'h', level, b'u']);
    }
    let bytes = checkpoint_of(&laughs.raw(b".").0, &[]);
    let checkpoint = Checkpoint::parse(Path::new(FILE), &bytes, &Limits::default()).expect("ok");
    assert!(checkpoint.state_dict(&StateDict::default()).is_err());
}

#[test]
fn copies_of_a_large_list_are_counted() {
    // A list of a thousand in slot 0 and the name of a container in slot 1; then a container
    // of the list again and again, at seven bytes each. The same for arguments and tensors.
    let list = Pickle::new().raw(b"](").raw(&[b'N'; 1_000]).raw(b"eq\x00");
    let deques = list.global("collections", "deque").raw(b"q\x01");
    let deques = deques.raw(&b"h\x01h\x00\x85R0".repeat(10_000)).0;
    let tuple = Pickle::new().raw(b"(").raw(&[b'N'; 1_000]).raw(b"tq\x00");
    let inert = tuple.global("torch", "device").raw(b"q\x01");
    let inert = inert.raw(&b"h\x01h\x00R0".repeat(10_000)).0;
    let tensor = Pickle::new()
        .raw(b"(")
        .storage("FloatStorage", "0", 1)
        .int(0);
    let tensor = tensor.ints(&[1; 32]).ints(&[1; 32]).raw(b"tq\x00");
    let tensors = tensor
        .global("torch._utils", "_rebuild_tensor_v2")
        .raw(b"q\x01");
    let tensors = tensors.raw(&b"h\x01h\x00R0".repeat(200_000)).0;
    for pickle in [deques, inert, tensors] {
        refused(
            &checkpoint_of(&pickle, &[]),
            &[
                "data.pkl at byte",
                "parts copied by calls",
                "at most 8388608",
            ],
        );
    }
}

#[test]
fn limits_of_the_pickle_machine() {
    let parse = |bytes: &[u8], limits: &Limits| {
        pickle::parse(Path::new(FILE), "data.pkl", bytes, limits)
            .expect_err("over a limit")
            .to_string()
    };
    let limits = Limits {
        pickle_values: 100,
        pickle_opcodes: 1_000,
        ..Limits::default()
    };
    let error = parse(&[b'N'; 500], &limits);
    assert!(
        error.contains("data.pkl at byte 101: values: expected at most 100"),
        "{error}"
    );
    let error = parse(&[&b"N"[..], &[b'2'; 500]].concat(), &limits);
    assert!(
        error.contains("stack slots: expected at most 100"),
        "{error}"
    );
    let error = parse(&[b'('; 500], &limits);
    assert!(error.contains("marks: expected at most 100"), "{error}");
    let error = parse(
        &b"N0".repeat(600),
        &Limits {
            pickle_values: 9_999,
            ..limits
        },
    );
    assert!(error.contains("opcodes: expected at most 1000"), "{error}");
    let error = parse(b"\x80\x09N.", &limits);
    assert!(error.contains("protocol 5 or less, found 9"), "{error}");
    let error = parse(b"\x82\x01.", &limits);
    assert!(error.contains("opcode 0x82"), "{error}");
    let error = parse(b"B\xff\xff\xff\xffx", &limits);
    assert!(error.contains("4294967295 more bytes"), "{error}");
}
