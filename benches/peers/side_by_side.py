"""What the comparisons with PyTorch share: options, the attractor binary, interleaved timing."""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parents[2]
# A call that takes longer needs no warm-up before it is timed.
LONG_CALL = 2.0


def common_arguments(description):
    """A parser of the options that every comparison has."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=None, help="attractor binary (default: the one that is built, or on the path)")
    parser.add_argument("--device", default=None, help="device of attractor (default: gpu where PyTorch has CUDA, else cpu)")
    parser.add_argument("--torch-device", default=None, help="cpu or cuda (default: cuda for any device but cpu, where there is one)")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)), help="CPU threads of both sides")
    parser.add_argument("--repeats", type=int, default=7, help="rounds, in each of which every contestant runs once; 0 checks agreement alone")
    parser.add_argument("--compile", action="store_true", help="torch.compile on the CPU too, which takes minutes to build")
    parser.add_argument("--json", type=Path, default=None, help="also write the results there")
    return parser


def settle(options):
    """Fills in the devices, and sets PyTorch up."""
    cuda_there = torch.cuda.is_available()
    options.device = options.device or ("gpu" if cuda_there else "cpu")
    options.torch_device = options.torch_device or ("cuda" if cuda_there and options.device != "cpu" else "cpu")
    torch.set_num_threads(options.threads)
    # Full single precision on both sides.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    return options


def where(options):
    """Versions and devices, for a record."""
    name = torch.cuda.get_device_name() if options.torch_device == "cuda" else "CPU"
    return {"torch": torch.__version__, "torch_device": name, "device": options.device, "threads": options.threads}


def headline(options):
    """The same in words."""
    place = where(options)
    return (f"PyTorch {place['torch']} on {place['torch_device']}, attractor --device {place['device']}, "
            f"{place['threads']} CPU threads each, {options.repeats} interleaved rounds")


def find_binary(named):
    """The binary that was named, is built, or is on the path."""
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
        """Standard output of a command; any failure ends the comparison."""
        command = [self.binary, *map(str, words)]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)}\nexit {done.returncode}: {done.stderr.strip()[-2000:]}")
        return done.stdout


def compiles(options):
    """Whether torch.compile takes part; says so where it was wanted and cannot."""
    wanted = options.torch_device == "cuda" or options.compile
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if wanted and not compiler:
        print("  torch.compile left out: no C++ compiler on the path", flush=True)
    return wanted and compiler is not None


def cuda_graph(call):
    """The whole call as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            call()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    return graph.replay


def timed(call, cuda):
    """Seconds of a call."""
    if cuda:
        torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    if cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def warmed(call, cuda):
    """Seconds of a call with warm caches: the first after another process ran finds them cold, and the bench of
    attractor warms up too."""
    first = timed(call, cuda)
    return first if first > LONG_CALL else timed(call, cuda)


def interleaved(seconds_of_attractor, calls, options):
    """Rounds in which every contestant runs once, in turn; prints and returns medians."""
    cuda = options.torch_device == "cuda"
    for name, call in calls.items():
        # On the CPU there is nothing that eager calls have left to build.
        if cuda or not name.startswith("eager"):
            warmed(call, cuda)
    seconds = {name: [] for name in ["attractor", *calls]}
    for _ in range(options.repeats):
        seconds["attractor"].append(seconds_of_attractor())
        for name, call in calls.items():
            seconds[name].append(warmed(call, cuda))
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    for name, median in medians.items():
        low, high = min(seconds[name]), max(seconds[name])
        ratio = median / medians["attractor"]
        print(f"    {name:30} {1e3 * median:10.2f} ms  ({1e3 * low:.2f}..{1e3 * high:.2f})  "
              f"{ratio:6.2f} x attractor", flush=True)
    return {"median_seconds": medians, "all_seconds": seconds}
