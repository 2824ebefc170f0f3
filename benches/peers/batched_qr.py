"""Batched QR: `torch.linalg.qr` beside `attractor bench qr`.

Checks that attractor's factors are those of PyTorch in double precision, as `attractor verify` compares them,
then times both in turn on matrices of the same sizes. Needs Python, numpy and PyTorch, and an `attractor` binary.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from plain_files import write_safetensors
from side_by_side import Engine, common_arguments, headline, interleaved, settle, where

# Small maps, networks, the joint latent state of a recursive reasoner: batch, rows, columns.
SIZES = [(65_536, 8, 8), (4096, 256, 8), (1, 99_328, 8)]


def arguments(words=None):
    return settle(common_arguments(__doc__).parse_args(words))


def matrices(batch, rows, columns):
    generator = np.random.default_rng(rows + columns)
    return generator.standard_normal((batch, rows, columns), dtype=np.float32)


def positive(q, r):
    """The factors with a positive diagonal."""
    signs = torch.sign(torch.diagonal(r, dim1=-2, dim2=-1))
    return q * signs.unsqueeze(-2), r * signs.unsqueeze(-1)


def rounding_of_logarithms(r):
    """Largest error of the diagonal's logarithms in single precision."""
    diagonal = torch.diagonal(r, dim1=-2, dim2=-1).float()
    return float((diagonal.log().double() - diagonal.double().log()).abs().max())


def check_agreement(engine, options):
    """Has `attractor verify` compare factors of PyTorch; returns a record."""
    index, tensors = {}, {}
    for batch, rows, columns in SIZES:
        few = min(batch, 64)
        a = matrices(few, rows, columns)
        q, r = positive(*torch.linalg.qr(torch.from_numpy(a).double()))
        name = f"{few} x [{rows}, {columns}]"
        index[name] = {"batch": few, "m": rows, "n": columns, "lapack_f32_logdiagR_err": rounding_of_logarithms(r)}
        tensors.update({f"{name}.A": a, f"{name}.Q": q.float().numpy(), f"{name}.R": r.float().numpy()})
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "qr.json").write_text(json.dumps(index))
        write_safetensors(Path(folder) / "qr.safetensors", tensors)
        print(engine.call("verify", folder, "--device", options.device), flush=True)
    return {"cases": list(index)}


def seconds_of_bench(engine, case):
    """Median of attractor's own bench of one case."""
    words = ["bench", "qr", "--json", "--quick", "--device", engine.device]
    records = json.loads(engine.call(*words))["records"]
    found = [record for record in records if record.get("kernel") == "qr" and record.get("case") == case]
    if not found:
        sys.exit(f"`attractor bench qr` gave no record of {case}")
    return found[0]["seconds"]["median"]


def run(options):
    """Checks agreement, then times; returns a record and what is wrong, if anything is."""
    print(f"qr: {headline(options)}")
    engine = Engine(options)
    record = {**where(options), "agreement": check_agreement(engine, options), "times": []}
    for batch, rows, columns in SIZES if options.repeats > 0 else []:
        case = f"{batch} x [{rows}, {columns}]"
        print(f"  {case}", flush=True)
        a = torch.from_numpy(matrices(batch, rows, columns)).to(options.torch_device)
        calls = {"eager": lambda a=a: torch.linalg.qr(a, mode="reduced")}
        times = interleaved(lambda case=case: seconds_of_bench(engine, case), calls, options)
        record["times"].append({"case": case, **times})
    return record, None
