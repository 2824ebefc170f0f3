"""Exponents of a Tiny Recursive Model: vmapped `torch.func.jvp` and `torch.linalg.qr` beside attractor.

Checks that attractor, given PyTorch's weights, puzzles and first tangents, measures the exponents that PyTorch
measures, then times both in turn: all 336 level calls of a model of width 64, and one level call of the
published size with attention and with the mixer. Needs Python, numpy and PyTorch, and an `attractor` binary.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from side_by_side import Engine, common_arguments, headline, interleaved, settle, where
from trm import COMMON, TANGENTS, WORKLOADS, Workload

# Name of the workload here: its name in `attractor bench`.
NAMES = {"small": "trm width 64", "attention": "trm published, attention", "mixer": "trm published, mixer"}
CALLS_A_STEP = COMMON["H_cycles"] * (COMMON["L_cycles"] + 1)
# Exponents after so few steps that rounding has not grown.
CHECKED_STEPS = 2
ALLOWED = 2e-5


def arguments(words=None):
    parser = common_arguments(__doc__)
    parser.add_argument("--workloads", nargs="*", default=list(WORKLOADS), choices=list(WORKLOADS))
    return settle(parser.parse_args(words))


def largest_difference(engine, workload, options):
    """Of exponents per QR after a few ACT steps."""
    from trm_torch import exponents

    expected = exponents(workload.model, workload.tokens, workload.puzzles, workload.basis, CHECKED_STEPS)[0]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        workload.write(folder)
        stem = folder / workload.name
        out = folder / "diagnostics.npz"
        engine.call(
            "ftle", "--model", "trm", "--weights", f"{stem}.safetensors", "--config", f"{stem}.json",
            "--data", f"{stem}.npz", "--tangents", f"{stem}.npz", "--k", TANGENTS, "--steps", CHECKED_STEPS,
            "--granularity", "sub", "--out", out, "--format", "csv", "--device", options.device,
        )
        found = np.load(out)["lyap_spec"]
    return float(np.abs(found - expected.cpu().numpy()).max())


def seconds_of_bench(engine, name):
    """Median of attractor's own bench: of a run, or of one level call of it."""
    words = ["bench", f"exponents {NAMES[name]}", "--json", "--repetitions", 3, "--device", engine.device]
    records = json.loads(engine.call(*words))["records"]
    if len(records) != 1:
        sys.exit(f"`attractor bench` gave {len(records)} records of {NAMES[name]}, not one")
    whole = WORKLOADS[name][2]
    return records[0]["seconds"]["median"] if whole else records[0]["seconds_a_call"]


def run(options):
    """Checks agreement, then times; returns a record and what is wrong, if anything is."""
    print(f"exponents: {headline(options)}")
    engine, wrong = Engine(options), None
    record = {**where(options), "workloads": {}}
    with torch.no_grad():
        for name in options.workloads:
            workload = Workload(name, options.torch_device)
            error = largest_difference(engine, workload, options)
            print(f"  {NAMES[name]}: exponents after {CHECKED_STEPS} steps differ by {error:.1e}", flush=True)
            if not error <= ALLOWED:
                wrong = f"{NAMES[name]}: exponents differ by {error:.1e}, allowed {ALLOWED:.0e}"
            times = {}
            if options.repeats > 0:
                calls = {"eager, vmapped jvp": workload.call}
                times = interleaved(lambda name=name: seconds_of_bench(engine, name), calls, options)
            record["workloads"][name] = {"largest_difference": error, **times}
    return record, wrong
