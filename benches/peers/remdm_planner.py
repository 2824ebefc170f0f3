"""The planner in PyTorch beside `attractor`: same weights, observations, sampler and steps.

Checks that both give the same plans from the same random numbers, then times both in turn. PyTorch
carries out every step; attractor's greedy sampler stops when all is committed. `context once`
computes the observation's tokens once a plan in PyTorch too, as attractor does. Needs Python, numpy and PyTorch, and an `attractor` binary.
"""

import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from plain_files import read_config, read_observations, read_safetensors
from remdm_torch import Denoiser, Sampler, Slack
from side_by_side import ROOT, Engine, common_arguments, compiles, cuda_graph, headline, interleaved, settle, where

SAMPLERS = ["greedy", "maskgit_remask", "remdm_bernoulli"]
# A decision closer to its threshold than this may go either way in f32.
TIE = 1e-4
# Saturated confidences tie often, so near ties alone would excuse anything; most tokens must agree too.
LEAST_AGREEMENT = 0.99


def arguments(words=None):
    parser = common_arguments(__doc__)
    parser.add_argument("--weights", type=Path, default=ROOT / "assets/remdm_minihack.safetensors")
    parser.add_argument("--config", type=Path, default=None, help="default: the JSON beside the weights")
    parser.add_argument("--obs", type=Path, default=ROOT / "assets/minihack_eval_observations.npz")
    parser.add_argument("--batches", default="1,64", help="comma-separated; the usual set is 1,64,1024")
    parser.add_argument("--samplers", default=",".join(SAMPLERS))
    parser.add_argument("--steps", type=int, default=10)
    return settle(parser.parse_args(words))


class PlannerEngine(Engine):
    """The planner of the attractor binary."""

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

    def seconds(self, sampler, batch):
        """Seconds of one plan call for the batch: the median of the binary's own bench."""
        words = ["bench", "planner", "--json", "--quick", "--repetitions", 3, "--batches", batch]
        words += [*self.flags(sampler, settings_of(sampler)), "--obs", self.options.obs]
        records = json.loads(self.call(*words))["records"]
        wanted = [r for r in records if r.get("batch") == batch and r.get("sampler") == sampler]
        if not wanted:
            sys.exit(f"`attractor bench planner` gave no record of {sampler} at batch {batch}")
        return float(wanted[0]["median_seconds"])


# What both sides run; the defaults of the original at the checkpoint's temperature.
SETTINGS = {"strategy": "conf", "eta": 0.15, "temperature": 0.5, "top_k": 4, "top_p": 0.9, "schedule": "linear"}


def settings_of(sampler):
    """Each recipe has its own filter; the other is off."""
    filters = {"maskgit_remask": {"top_p": 1.0}, "remdm_bernoulli": {"top_k": 0}}
    return {**SETTINGS, **filters.get(sampler, {})}


def load_model(options):
    config = read_config(options.config or options.weights.with_suffix(".json"))
    model = Denoiser(config)
    weights = {name: torch.from_numpy(array.copy()) for name, array in read_safetensors(options.weights).items()}
    model.load_state_dict(weights, strict=True)
    return model.eval().requires_grad_(False).to(options.torch_device)


def tensors(options, *arrays):
    return [torch.from_numpy(array.astype(np.int64)).to(options.torch_device) for array in arrays]


def check_agreement(engine, model, sampler, batch, options):
    """Compares plans from the same uniform numbers; returns a record."""
    local, world = read_observations(options.obs, batch)
    generator = np.random.default_rng(20_260_820 + batch)
    shape = (options.steps, batch, model.length)
    draws = {name: generator.random(shape, dtype=np.float32) for name in ["u_cat", "u_unmask", "u_remask"]}
    settings = settings_of(sampler)
    theirs = engine.plan(sampler, settings, local, world, draws)
    on_device = {name: torch.from_numpy(value).to(options.torch_device) for name, value in draws.items()}
    slack = Slack(batch, options.torch_device)
    ours = Sampler(model, sampler, options.steps, settings).plan(
        *tensors(options, local, world), on_device, slack)
    same = ours.cpu().numpy() == theirs
    differing = ~same.all(axis=1)
    margins = slack.value.cpu().numpy()[differing]
    record = {
        "sampler": sampler, "batch": batch, "tokens": int(same.size),
        "agree": float(same.mean()), "plans_differing": int(differing.sum()),
        "largest_margin_of_a_differing_plan": float(margins.max()) if len(margins) else None,
    }
    # A plan that differs is explained when one of its decisions was a tie within f32.
    record["ok"] = bool((margins <= TIE).all()) and record["agree"] >= LEAST_AGREEMENT
    margin = f"; their closest decisions lay {margins.min():.1e}..{margins.max():.1e} from a threshold" if len(margins) else ""
    verdict = "ok" if record["ok"] else "DIFFERENT"
    print(f"  {sampler:16} batch {batch:5}  {100 * record['agree']:.3f} % of {same.size} tokens agree, "
          f"{record['plans_differing']} plans differ{margin}  {verdict}", flush=True)
    return record


def contestants(model, sampler, inputs, options):
    """Name to a call that draws one batch of plans in PyTorch."""
    settings = settings_of(sampler)
    every, once = (Sampler(model, sampler, options.steps, settings, once) for once in (False, True))
    found = {"eager": lambda: every.plan(*inputs), "eager, context once": lambda: once.plan(*inputs)}
    cuda = options.torch_device == "cuda"
    if compiles(options):
        compiled = once.compiled()
        found["torch.compile, context once"] = lambda: compiled.plan(*inputs)
    if cuda:
        found["CUDA graph"] = cuda_graph(lambda: every.plan(*inputs))
        found["CUDA graph, context once"] = cuda_graph(lambda: once.plan(*inputs))
    return found


def compare_times(engine, model, sampler, batch, options):
    """Rounds in which every contestant runs once, in turn; returns a record of medians."""
    inputs = tensors(options, *read_observations(options.obs, batch))
    calls = contestants(model, sampler, inputs, options)
    print(f"  {sampler}, batch {batch}, {options.steps} steps", flush=True)
    times = interleaved(lambda: engine.seconds(sampler, batch), calls, options)
    return {"sampler": sampler, "batch": batch, "steps": options.steps, **times}


def run(options):
    """Checks agreement, then times; returns a record and what is wrong, if anything is."""
    engine = PlannerEngine(options)
    print(f"planner: {headline(options)}")
    batches = [int(word) for word in options.batches.split(",")]
    samplers = options.samplers.split(",")
    with torch.inference_mode():
        model = load_model(options)
        pairs = [(sampler, batch) for batch in batches for sampler in samplers]
        print("agreement, from the same random numbers")
        agreement = [check_agreement(engine, model, *pair, options) for pair in pairs]
        times = []
        if options.repeats > 0:
            print("seconds a call, median (smallest..largest)")
            times = [compare_times(engine, model, *pair, options) for pair in pairs]
    wrong = None if all(record["ok"] for record in agreement) else "the plans differ by more than ties"
    return {**where(options), "agreement": agreement, "times": times}, wrong
