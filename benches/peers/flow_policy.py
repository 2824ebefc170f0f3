"""The flow sampler in PyTorch beside `attractor`: same decoder, conditions, noise, solver and steps.

Checks that both reach the same end points from the same noise, then times both in turn. `eager` evaluates the
whole network for every draw, as the original does; `eager, savings` is given what attractor saves: keys and
values of the conditions once a frame, modulations once a flow time. Without `--weights` the decoder has the
original's size and random weights. Needs Python, numpy and PyTorch, and an `attractor` binary.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from flow_torch import TABLEAUS, Decoder, Sampler
from plain_files import read_config, read_safetensors, write_safetensors
from side_by_side import Engine, common_arguments, compiles, cuda_graph, headline, interleaved, settle, where

# The original's recipe.
RECIPE = {
    "dim": 256, "cond_dim": 384, "tokens": 12, "action_dim": 2, "horizon": 6, "layers": 4, "heads": 4,
    "rope": True, "slot": False, "mult": 1,
}
# Largest difference of an end point over the largest end point: both round in f32.
TOLERANCE = 2e-5


def arguments(words=None):
    parser = common_arguments(__doc__)
    parser.add_argument("--weights", type=Path, default=None, help="safetensors (default: random ones of the original's size)")
    parser.add_argument("--config", type=Path, default=None, help="default: the JSON beside the weights")
    parser.add_argument("--frames", default="1,64", help="frames of a call, comma-separated")
    parser.add_argument("--draws", type=int, default=32, help="draws K of a frame")
    parser.add_argument("--method", default="heun", choices=list(TABLEAUS))
    parser.add_argument("--steps", type=int, default=32)
    return settle(parser.parse_args(words))


def random_weights(config):
    """Weights of a decoder by name: uniform, such that activations keep their size."""
    generator = np.random.default_rng(20_261_120)
    weights = {}
    for name, parameter in sorted(Decoder(config).state_dict().items()):
        inputs = parameter.shape[-1]
        if name.endswith("bias"):
            bound = 0.1
        elif name.startswith(("position_embedding", "slot_modulation")):
            bound = 0.5
        else:
            bound = (0.5 if "adaLN" in name else 1.5) / inputs**0.5
        weights[name] = generator.uniform(-bound, bound, tuple(parameter.shape)).astype(np.float32)
    return weights


class FlowEngine(Engine):
    """The flow sampler of the attractor binary; inputs and draws travel in plain files."""

    def __init__(self, options, config, weights, folder):
        super().__init__(options)
        self.folder, self.options = Path(folder), options
        (self.folder / "decoder.json").write_text(json.dumps(config))
        write_safetensors(self.folder / "decoder.safetensors", weights)

    def bench(self, conditions, noise, repetitions):
        """Draws [F, K, H, A] of attractor, and the record of its bench."""
        options, folder = self.options, self.folder
        np.savez(folder / "inputs.npz", conditions=conditions, noise=noise)
        frames, draws = noise.shape[:2]
        words = ["bench", "flow", "--json", "--quick", "--device", self.device, "--repetitions", repetitions]
        words += ["--solvers", f"{options.method}/{options.steps}", "--frames", frames, "--draws", draws]
        words += ["--flow-weights", folder / "decoder.safetensors", "--flow-config", folder / "decoder.json"]
        words += ["--flow-inputs", folder / "inputs.npz", "--flow-out", folder / "draws.npz"]
        records = json.loads(self.call(*words))["records"]
        wanted = [r for r in records if r.get("name") == "flow"]
        if not wanted:
            sys.exit("`attractor bench flow` gave no record")
        with np.load(folder / "draws.npz", allow_pickle=False) as file:
            return file[f"{options.method}.{options.steps}.{frames}x{draws}"], wanted[0]


def inputs(config, frames, draws):
    """Standard normal conditions [F, S, Dc] and noise [F, K, H, A]."""
    generator = np.random.default_rng(2027 + frames)
    conditions = generator.standard_normal((frames, config["tokens"], config["cond_dim"]), dtype=np.float32)
    noise = generator.standard_normal((frames, draws, config["horizon"], config["action_dim"]), dtype=np.float32)
    return conditions, noise


def check_agreement(engine, samplers, given, options):
    """Compares end points number by number; returns a record."""
    theirs = engine.bench(*given, 1)[0].astype(np.float64)
    on_device = [torch.from_numpy(array).to(options.torch_device) for array in given]
    record = {"frames": len(given[0]), "draws": given[1].shape[1], "numbers": int(theirs.size)}
    for name, sampler in samplers.items():
        ours = sampler.sample(*on_device).cpu().double().numpy()
        largest = float(np.abs(ours).max())
        record[name] = float(np.abs(ours - theirs).max()) / largest
        print(f"  {record['frames']:4} frames x {record['draws']} draws, {name:16} largest difference "
              f"{record[name]:.1e} of the largest end point {largest:.2f}", flush=True)
    # Written so that a difference that is no number is wrong.
    record["ok"] = all(record[name] <= TOLERANCE for name in samplers)
    return record


def compare_times(engine, samplers, given, options):
    """Rounds in which every contestant runs once, in turn; returns a record of medians."""
    on_device = [torch.from_numpy(array).to(options.torch_device) for array in given]
    calls = {name: (lambda sampler=sampler: sampler.sample(*on_device)) for name, sampler in samplers.items()}
    if compiles(options):
        for name, sampler in list(samplers.items()):
            compiled = sampler.compiled()
            calls[name.replace("eager", "torch.compile")] = lambda compiled=compiled: compiled.sample(*on_device)
    if options.torch_device == "cuda":
        for name in samplers:
            calls[name.replace("eager", "CUDA graph")] = cuda_graph(calls[name])
    frames, draws = given[1].shape[:2]
    repetitions = 3 if frames * draws <= 128 else 1
    print(f"  {options.method}/{options.steps}, {frames} frames x {draws} draws", flush=True)
    times = interleaved(lambda: engine.bench(*given, repetitions)[1]["median_seconds"], calls, options)
    return {"method": options.method, "steps": options.steps, "frames": frames, "draws": draws, **times}


def run(options):
    """Checks agreement, then times; returns a record and what is wrong, if anything is."""
    if options.weights:
        config = {**RECIPE, **read_config(options.config or options.weights.with_suffix(".json"))}
        weights = read_safetensors(options.weights)
    else:
        config, weights = RECIPE, random_weights(RECIPE)
    model = Decoder(config)
    model.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in weights.items()}, strict=True)
    model = model.eval().requires_grad_(False).to(options.torch_device)
    samplers = {
        "eager": Sampler(model, options.method, options.steps),
        "eager, savings": Sampler(model, options.method, options.steps, once=True),
    }
    print(f"flow: {headline(options)}")
    print(f"  {sum(array.size for array in weights.values())} parameters, {options.method}/{options.steps}")
    frames = [int(word) for word in options.frames.split(",")]
    with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
        engine = FlowEngine(options, config, weights, folder)
        print("agreement, from the same noise")
        # Rows of a batch have nothing to do with each other, so a few frames say it all.
        few = sorted({min(count, 2) for count in frames})
        agreement = [check_agreement(engine, samplers, inputs(config, count, options.draws), options) for count in few]
        times = []
        if options.repeats > 0:
            print("seconds a call, median (smallest..largest)")
            times = [compare_times(engine, samplers, inputs(config, count, options.draws), options) for count in frames]
    wrong = None if all(record["ok"] for record in agreement) else "the end points differ by more than rounding"
    return {**where(options), "agreement": agreement, "times": times}, wrong
