//! Which callables a pickle may name, and what is made of a call to one.

use super::super::DType;

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Callable {
    /// `torch._utils._rebuild_tensor(storage, offset, size, stride)` and `_v2`, with more.
    Tensor,
    /// `torch._utils._rebuild_tensor_v3(..., requires_grad, hooks, dtype, metadata)`.
    TensorOfType,
    /// Gives its first argument: `_rebuild_parameter` and `_rebuild_parameter_with_state`.
    FirstArgument,
    /// `torch._tensor._rebuild_from_type_v2(function, type, arguments, state)`.
    Nested,
    /// A dict, from nothing or a list of pairs.
    Dict,
    /// A dict, whose arguments (a default factory) do not matter.
    DefaultDict,
    /// A list of the items of the first argument.
    List,
    /// A tuple of the items of the first argument.
    Tuple,
    /// A set of the items of the first argument.
    Set,
    /// Kept as it is, without a call.
    Inert,
    /// Never.
    Refused,
}

/// Constructors of plain data that checkpoints hold beside tensors. Sorted by module.
const INERT: &[&str] = &[
    "_codecs.encode",
    "argparse.Namespace",
    "builtins.bytearray",
    "builtins.bytes",
    "builtins.complex",
    "builtins.float",
    "builtins.int",
    "builtins.range",
    "builtins.slice",
    "datetime.date",
    "datetime.datetime",
    "datetime.timedelta",
    "decimal.Decimal",
    "fractions.Fraction",
    "numpy.dtype",
    "numpy.ndarray",
    "numpy.random._pcg64.PCG64",
    "numpy.random._pickle.__bit_generator_ctor",
    "numpy.random._pickle.__generator_ctor",
    "numpy.random._pickle.__randomstate_ctor",
    "numpy.random.bit_generator.SeedSequence",
    "numpy.random.bit_generator.__pyx_unpickle_SeedSequence",
    "pathlib.PosixPath",
    "pathlib.PurePosixPath",
    "pathlib.WindowsPath",
    "random.Random",
    "torch._C.Generator",
    "torch._utils._rebuild_qtensor",
    "torch._utils._rebuild_sparse_tensor",
    "torch.device",
    "torch.serialization._get_layout",
    "types.SimpleNamespace",
    "uuid.UUID",
];

/// What becomes of a call to `name`, which is module and qualified name with a dot between.
pub(super) fn callable(name: &str) -> Callable {
    // Protocol 2 writes the module names of Python 2.
    let name = match name.strip_prefix("__builtin__.") {
        Some("long") => "builtins.int",
        Some(rest) => return builtin(rest),
        None => name,
    };
    if let Some(rest) = name.strip_prefix("builtins.") {
        return builtin(rest);
    }
    // numpy renamed its core in 2.0.
    let array_core = name
        .strip_prefix("numpy.core.multiarray.")
        .or_else(|| name.strip_prefix("numpy._core.multiarray."));
    if let Some("_reconstruct" | "scalar") = array_core {
        return Callable::Inert;
    }
    match name {
        "torch._utils._rebuild_tensor" | "torch._utils._rebuild_tensor_v2" => Callable::Tensor,
        "torch._utils._rebuild_tensor_v3" => Callable::TensorOfType,
        "torch._utils._rebuild_parameter" | "torch._utils._rebuild_parameter_with_state" => {
            Callable::FirstArgument
        }
        "torch._tensor._rebuild_from_type_v2" => Callable::Nested,
        "collections.OrderedDict" | "collections.Counter" => Callable::Dict,
        "collections.defaultdict" => Callable::DefaultDict,
        "collections.deque" => Callable::List,
        "torch.Size" => Callable::Tuple,
        _ if INERT.binary_search(&name).is_ok() => Callable::Inert,
        _ => Callable::Refused,
    }
}

fn builtin(name: &str) -> Callable {
    match name {
        "dict" => Callable::Dict,
        "list" => Callable::List,
        "tuple" => Callable::Tuple,
        "set" | "frozenset" => Callable::Set,
        "long" => Callable::Inert,
        _ if INERT
            .iter()
            .any(|inert| inert.strip_prefix("builtins.") == Some(name)) =>
        {
            Callable::Inert
        }
        _ => Callable::Refused,
    }
}

/// The element type of a storage class, without its module; `None` for others.
pub(super) fn storage_class(name: &str) -> Option<DType> {
    Some(match name {
        "FloatStorage" => DType::F32,
        "DoubleStorage" => DType::F64,
        "HalfStorage" => DType::F16,
        "BFloat16Storage" => DType::BF16,
        "LongStorage" => DType::I64,
        "IntStorage" => DType::I32,
        "ShortStorage" => DType::I16,
        "CharStorage" => DType::I8,
        "ByteStorage" => DType::U8,
        "BoolStorage" => DType::Bool,
        _ => return None,
    })
}

/// The element type of a constant such as `torch.uint16`, without its module.
pub(super) fn dtype_constant(name: &str) -> Option<DType> {
    Some(match name {
        "float32" | "float" => DType::F32,
        "float64" | "double" => DType::F64,
        "float16" | "half" => DType::F16,
        "bfloat16" => DType::BF16,
        "int64" | "long" => DType::I64,
        "int32" | "int" => DType::I32,
        "int16" | "short" => DType::I16,
        "int8" => DType::I8,
        "uint8" => DType::U8,
        "uint16" => DType::U16,
        "uint32" => DType::U32,
        "uint64" => DType::U64,
        "bool" => DType::Bool,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted_as_the_search_needs() {
        assert!(INERT.is_sorted());
    }

    #[test]
    fn what_runs_code_is_refused() {
        for name in [
            "os.system",
            "posix.system",
            "builtins.eval",
            "__builtin__.exec",
            "builtins.getattr",
            "subprocess.Popen",
            "torch.load",
            "torch.hub.load",
            "numpy.load",
            "numpy.core.multiarray.fromfile",
            "collections.namedtuple",
            "",
        ] {
            assert_eq!(callable(name), Callable::Refused, "{name}");
        }
        assert_eq!(callable("__builtin__.long"), Callable::Inert);
        assert_eq!(callable("builtins.set"), Callable::Set);
    }
}
