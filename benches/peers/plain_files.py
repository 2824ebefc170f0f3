"""Reading and writing safetensors, and reading the planner's observations with numpy alone."""

import json
import struct
from pathlib import Path

import numpy as np

_DTYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4",
    "I16": "<i2", "I8": "|i1", "U8": "|u1", "BOOL": "|b1",
}


def read_safetensors(path):
    """All tensors of a safetensors file as {name: array}."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    arrays = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        begin, end = entry["data_offsets"]
        raw = data[8 + length + begin : 8 + length + end]
        arrays[name] = np.frombuffer(raw, _DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return arrays


def read_config(path):
    """The flat configuration: the object under `config`, or the whole file."""
    value = json.loads(Path(path).read_text())
    return value.get("config", value)


def read_observations(path, count):
    """`count` observations, starting again at the first when the file has fewer."""
    with np.load(path, allow_pickle=False) as file:
        local, world = file["local_obs"], file["global_obs"]
    rows = np.arange(count) % len(local)
    return np.ascontiguousarray(local[rows]), np.ascontiguousarray(world[rows])


def write_safetensors(path, arrays):
    """Writes {name: array} as a safetensors file of single-precision numbers, and of 32-bit integers where they are."""
    header, parts, offset = {}, [], 0
    for name, array in arrays.items():
        kind = "I32" if array.dtype.kind in "iu" else "F32"
        part = np.ascontiguousarray(array, _DTYPES[kind]).tobytes()
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [offset, offset + len(part)]}
        parts.append(part)
        offset += len(part)
    text = json.dumps(header).encode()
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))
