"""Exponents of a Tiny Recursive Model in PyTorch: what `attractor` is held against.

`small`: width 64, 20 rows, 16 examples, all 16 ACT steps of (3, 6) cycles, QR after each of 336 level calls.
`attention` and `mixer`: the published size, width 512, 97 rows, one example, one level call.
Eight tangents throughout, single precision, parameters frozen (else the basis drags a reverse graph along).

`--write FOLDER` leaves the weights (safetensors), their configuration (JSON) and the inputs (npz: inputs,
puzzle_identifiers, Q0 of [B, n, k]) of every workload there, for `attractor` to read. Needs Python, numpy and
PyTorch.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from plain_files import write_safetensors
from trm_torch import Model, exponents, orthonormalised, pushed

TANGENTS = 8
STEPS = 16
COMMON = {
    "expansion": 4.0, "H_layers": 0, "L_layers": 2, "H_cycles": 3, "L_cycles": 6, "num_puzzle_identifiers": 1,
    "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "halt_max_steps": STEPS,
}
PUBLISHED = {"hidden_size": 512, "num_heads": 8, "seq_len": 81, "vocab_size": 11, "puzzle_emb_ndim": 512,
             "puzzle_emb_len": 16}
SMALL = {"hidden_size": 64, "num_heads": 4, "seq_len": 16, "vocab_size": 6, "puzzle_emb_ndim": 64,
         "puzzle_emb_len": 4}
# Name: configuration, examples, whether all steps are run or one level call.
WORKLOADS = {
    "small": ({**COMMON, **SMALL, "mlp_t": False, "pos_encodings": "rope"}, 16, True),
    "attention": ({**COMMON, **PUBLISHED, "mlp_t": False, "pos_encodings": "rope"}, 1, False),
    "mixer": ({**COMMON, **PUBLISHED, "mlp_t": True, "pos_encodings": "none"}, 1, False),
}


def random_weights(config, seed=20_261_121):
    """Seeded weights by the names of a checkpoint: normal, such that activations keep their size."""
    generator = np.random.default_rng(seed)
    weights = {}
    for name, parameter in sorted(Model(config).state_dict().items()):
        shape = tuple(parameter.shape)
        if name == "q_head.bias":
            weights[name] = np.full(shape, -5.0, np.float32)
            continue
        deviation = 1.0 if name.endswith("_init") else shape[-1] ** -0.5
        weights[name] = (deviation * generator.standard_normal(shape)).astype(np.float32)
    return weights


def random_inputs(config, batch, seed=7):
    """Tokens, puzzle identifiers and orthonormal bases [B, n, k]."""
    generator = np.random.default_rng(seed)
    tokens = generator.integers(1, config["vocab_size"], (batch, config["seq_len"])).astype(np.int32)
    n = 2 * (config["puzzle_emb_len"] + config["seq_len"]) * config["hidden_size"]
    bases = np.linalg.qr(generator.standard_normal((batch, n, TANGENTS)))[0]
    return {"inputs": tokens, "puzzle_identifiers": np.zeros(batch, np.int32), "Q0": bases.astype(np.float32)}


class Workload:
    """A model and its inputs in PyTorch."""

    def __init__(self, name, device="cpu"):
        self.name = name
        self.config, self.batch, self.whole = WORKLOADS[name]
        self.weights, self.inputs = random_weights(self.config), random_inputs(self.config, self.batch)
        self.model = Model(self.config)
        self.model.load_state_dict({key: torch.from_numpy(value) for key, value in self.weights.items()})
        self.model = self.model.eval().requires_grad_(False).to(device)
        tokens, puzzles, bases = (torch.from_numpy(array).to(device) for array in self.inputs.values())
        self.tokens, self.puzzles = tokens.long(), puzzles.long()
        rows = 2 * self.model.length
        basis = bases.permute(2, 0, 1)
        self.basis = basis.reshape(TANGENTS, self.batch, rows, self.config["hidden_size"]).contiguous()
        self.embedding, self.state = self.model.embed(self.tokens, self.puzzles), self.model.start(self.batch)

    def call(self):
        """Exponents [B, k] of a whole run, or logarithms of one lower update and its QR."""
        if self.whole:
            return exponents(self.model, self.tokens, self.puzzles, self.basis, STEPS)[0]
        _, basis = pushed(self.model.lower, self.state, self.embedding, self.basis)
        return orthonormalised(basis)[1]

    def write(self, folder):
        """Leaves weights, configuration and inputs for attractor."""
        folder.mkdir(parents=True, exist_ok=True)
        write_safetensors(folder / f"{self.name}.safetensors", self.weights)
        (folder / f"{self.name}.json").write_text(json.dumps({"arch": "trm", "config": self.config}))
        np.savez(folder / f"{self.name}.npz", **self.inputs)


def timed(workload, repeats):
    """Seconds of every repetition after one that is not counted, and the last result."""
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        result = workload.call()
        if result.is_cuda:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    return seconds[1:] or seconds, result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=list(WORKLOADS), help=f"of {', '.join(WORKLOADS)}; all by default")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="CPU threads")
    parser.add_argument("--repeats", type=int, default=3, help="repetitions that count")
    parser.add_argument("--torch-device", default="cpu", help="cpu or cuda")
    parser.add_argument("--write", type=Path, default=None, metavar="FOLDER", help="leave weights and inputs there")
    parser.add_argument("--json", type=Path, default=None, help="also write the results there")
    options = parser.parse_args()
    unknown = [name for name in options.workloads if name not in WORKLOADS]
    if unknown:
        parser.error(f"unknown workload {unknown[0]}: expected one of {', '.join(WORKLOADS)}")
    torch.set_num_threads(options.threads)
    results = {"torch": torch.__version__, "torch_device": options.torch_device, "threads": options.threads}
    with torch.no_grad():
        for name in options.workloads:
            workload = Workload(name, options.torch_device)
            if options.write:
                workload.write(options.write)
            if options.repeats < 1:
                continue
            seconds, result = timed(workload, options.repeats)
            median = statistics.median(seconds)
            leading = result[0].tolist()
            results[name] = {"median_seconds": median, "all_seconds": seconds, "logarithms": result.tolist()}
            print(f"{name:10} {median:8.3f} s ({min(seconds):.3f}..{max(seconds):.3f}), example 0: "
                  + " ".join(f"{value:.5f}" for value in leading), flush=True)
    if options.json:
        options.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
