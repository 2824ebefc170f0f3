"""The planner in PyTorch beside `attractor`: same weights, observations, sampler and steps.

Checks that both give the same plans from the same random numbers, then times both in turn. Needs
Python, numpy and PyTorch, and an `attractor` binary. See `--help`.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from plain_files import read_config, read_observations, read_safetensors
from remdm_torch import Denoiser, Sampler, Slack

ROOT = Path(__file__).resolve().parents[2]
SAMPLERS = ["greedy", "maskgit_remask", "remdm_bernoulli"]
# A decision closer to its threshold than this may go either way in f32.
TIE = 1e-4


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=None, help="attractor binary (default: the one that is built, or on the path)")
    parser.add_argument("--device", default=None, help="device of attractor (default: gpu where PyTorch has CUDA, else cpu)")
    parser.add_argument("--torch-device", default=None, help="cpu or cuda (default: cuda for any device but cpu, where there is one)")
    parser.add_argument("--weights", type=Path, default=ROOT / "assets/remdm_minihack.safetensors")
    parser.add_argument("--config", type=Path, default=None, help="default: the JSON beside the weights")
    parser.add_argument("--obs", type=Path, default=ROOT / "assets/minihack_eval_observations.npz")
    parser.add_argument("--batches", default="1,64", help="comma-separated; the usual set is 1,64,1024")
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="CPU threads of both sides")
    parser.add_argument("--repeats", type=int, default=7, help="rounds; in each, every contestant runs once")
    parser.add_argument("--compile", action="store_true", help="torch.compile on the CPU too, which takes minutes to build")
    parser.add_argument("--json", type=Path, default=None, help="also write the results there")
    return parser.parse_args()


def find_binary(named):
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    for candidate in [named, target / "release/attractor", shutil.which("attractor")]:
        if candidate and Path(candidate).is_file():
            return str(Path(candidate).resolve())
    sys.exit(f"no attractor binary (looked at {named or target / 'release/attractor'}); give --binary PATH")


class Engine:
    """The attractor binary, one process a call."""

    def __init__(self, options):
        self.binary, self.device, self.options = find_binary(options.binary), options.device, options
        self.environment = {**os.environ, "RAYON_NUM_THREADS": str(options.threads)}

    def call(self, *words):
        command = [self.binary, *map(str, words)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\nexit {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout

    def flags(self, sampler, settings):
        words = ["--weights", self.options.weights, "--device", self.device, "--sampler", sampler]
        words += ["--steps", self.options.steps]
        if self.options.config:
            words += ["--config", self.options.config]
        if sampler != "greedy":
            for name in ["strategy", "eta", "temperature", "top_k", "top_p"]:
                words += ["--" + name.replace("_", "-"), settings[name]]
        return words

    def plan(self, sampler, settings, local, world, draws):
        """Tokens [B, L] from replayed random numbers."""
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            np.savez(folder / "obs.npz", local_obs=local, global_obs=world)
            np.savez(folder / "draws.npz", **draws)
            words = ["plan", *self.flags(sampler, settings), "--obs", folder / "obs.npz"]
            self.call(*words, "--draws", folder / "draws.npz", "--out", folder / "plans.npz")
            with np.load(folder / "plans.npz", allow_pickle=False) as file:
                return file["plans"].astype(np.int64)
