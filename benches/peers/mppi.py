"""Planning calls of TD-MPC2 (512 candidates, 3 steps, 6 iterations): eager PyTorch beside attractor.

Checks that attractor, given PyTorch's weights and draws, plans what PyTorch plans (elites, values, distributions and
action of every iteration, by `attractor verify`), then times one environment and 64, the latter in PyTorch as a
loop and as one batch. Needs Python, numpy and PyTorch, and an `attractor` binary.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from mppi_torch import DISCOUNT, ELITES, HORIZON, ITERATIONS, POLICIES, SAMPLES, SIZES, Draws, Model, plan
from plain_files import write_safetensors
from side_by_side import Engine, common_arguments, headline, interleaved, settle, where

OBSERVATION, ACTION = 5, 1


def arguments(words=None):
    parser = common_arguments(__doc__)
    parser.add_argument("--sizes", nargs="*", type=int, default=list(SIZES), choices=list(SIZES))
    parser.add_argument("--environments", nargs="*", type=int, default=[1, 64])
    return settle(parser.parse_args(words))


def config(size):
    encoder, hidden, latent, layers, members = SIZES[size]
    return {"obs_dim": OBSERVATION, "action_dim": ACTION, "enc_dim": encoder, "mlp_dim": hidden, "latent_dim": latent,
            "num_enc_layers": layers, "num_q": members}


def state_of(size, seed=0):
    """A state dictionary with random weights under the official names."""
    encoder, hidden, latent, layers, members = SIZES[size]
    generator, joint, state = torch.Generator().manual_seed(seed), latent + ACTION, {}

    def layer(name, inputs, outputs, normed, lead=()):
        state[f"{name}.weight"] = torch.randn(*lead, outputs, inputs, generator=generator) / inputs**0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(*lead, outputs, generator=generator)
        if normed:
            state[f"{name}.ln.weight"], state[f"{name}.ln.bias"] = torch.ones(*lead, outputs), torch.zeros(*lead, outputs)

    widths = [OBSERVATION, *[encoder] * max(layers - 1, 1), latent]
    for n, (inputs, outputs) in enumerate(zip(widths, widths[1:])):
        layer(f"_encoder.state.{n}", inputs, outputs, True)
    networks = [("_dynamics", joint, latent, True, ()), ("_reward", joint, 101, False, ()),
                ("_pi", latent, 2 * ACTION, False, ()), ("_Qs.params", joint, 101, False, (members,))]
    for name, inputs, outputs, normed, lead in networks:
        layer(f"{name}.0", inputs, hidden, True, lead)
        layer(f"{name}.1", hidden, hidden, True, lead)
        layer(f"{name}.2", hidden, outputs, normed, lead)
    return state


def observations(count):
    return np.sin(0.37 * np.arange(count * OBSERVATION, dtype=np.float32)).reshape(count, OBSERVATION)


def recorded(size, model, device, seed=5):
    """A call of one environment with draws at hand: its tensors as `attractor verify` reads them, and its index."""
    generator = torch.Generator().manual_seed(seed)
    normal = lambda *shape: torch.randn(*shape, generator=generator)
    pairs = torch.stack([torch.randperm(model.members, generator=generator)[:2] for _ in range(ITERATIONS)])
    draws = {
        "policy": normal(HORIZON, 1, POLICIES, ACTION),
        "samples": normal(ITERATIONS, 1, SAMPLES - POLICIES, HORIZON, ACTION),
        "value": normal(ITERATIONS, 1, SAMPLES, ACTION),
        "pairs": pairs,
        "exponential": torch.empty(1, ELITES).exponential_(generator=generator),
        "action": normal(1, ACTION),
    }
    seen, trace = torch.from_numpy(observations(1)), []
    given = Draws(1, ACTION, model.members, device, {name: value.to(device) for name, value in draws.items()})
    action, mean = plan(model, seen.to(device), None, given, evaluation=False, trace=trace)
    rounds = {name: torch.stack([step[name][0] for step in trace]).cpu() for name in trace[0]}
    # Candidates behind steps, as the recorded calls have them.
    steps = lambda x: x.transpose(-3, -2)
    tensors = {
        "obs": seen[0], "prev_mean_in": torch.zeros(HORIZON, ACTION), "draw.pi_eps": draws["policy"][:, 0],
        "draw.samples": steps(draws["samples"][:, 0]), "draw.value_pi_eps": draws["value"][:, 0],
        "draw.q_pair": pairs.int(), "draw.gumbel_exp": draws["exponential"][0], "draw.final_eps": draws["action"][0],
        "out.value": rounds["value"], "out.elite_idx": rounds["elite_idx"].int(), "out.score": rounds["score"],
        "out.mean": rounds["mean"], "out.std": rounds["std"], "out.actions_iter0": steps(rounds["actions"][0]),
        "out.actions_last": steps(rounds["actions"][-1]), "out.action": action[0], "out.prev_mean": mean[0],
    }
    tensors = {f"plan0.{name}": value.cpu().numpy() for name, value in tensors.items()}
    weights = {f"w.{name}": value.cpu().numpy() for name, value in model.state.items()}
    falling = rounds["value"].sort(dim=1, descending=True).values
    gaps = (falling[:, ELITES - 1] - falling[:, ELITES]).tolist()
    index = {"config": config(size), "obs_dim": OBSERVATION, "discount": DISCOUNT, "state_dict_names": [],
             "plan_variants": [{"t0": True, "eval_mode": False}], "elite_boundary_gap_per_iteration": [gaps]}
    return {**weights, **tensors}, index


def agreement(engine, size, model, options):
    """The lines of `attractor verify` about a call that PyTorch made with recorded draws."""
    tensors, index = recorded(size, model, options.torch_device)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_safetensors(folder / "tdmpc2_call.safetensors", tensors)
        (folder / "tdmpc2_call.json").write_text(json.dumps(index))
        command = [engine.binary, "verify", str(folder), "--device", options.device]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    # The networks' own cases need tensors that a call has not.
    return [line.strip() for line in said.splitlines() if "call/plan" in line]


def seconds_of_bench(engine, size, environments):
    """Median of attractor's own bench."""
    words = ["bench", f"mppi size {size}", "--json", "--repetitions", 3, "--batches", environments, "--device", engine.device]
    records = json.loads(engine.call(*words))["records"]
    if len(records) != 1:
        sys.exit(f"`attractor bench` gave {len(records)} records of mppi size {size}, not one")
    return records[0]["seconds"]["median"]


def calls_of(model, environments, options):
    """PyTorch's ways to plan for so many environments."""
    device = options.torch_device
    seen = torch.from_numpy(observations(environments)).to(device)
    draws = lambda count: Draws(count, ACTION, model.members, device)
    one = lambda at: plan(model, seen[at:at + 1], None, draws(1))
    if environments == 1:
        return {"eager": lambda: one(0)}
    return {
        "eager, a loop": lambda: [one(at) for at in range(environments)],
        "eager, one batch": lambda: plan(model, seen, None, draws(environments)),
    }


def run(options):
    """Checks agreement, then times; returns a record and what is wrong, if anything is."""
    print(f"mppi: {headline(options)}")
    engine, wrong = Engine(options), None
    record = {**where(options), "sizes": {}}
    for size in options.sizes:
        model = Model(size, state_of(size), options.torch_device)
        lines = agreement(engine, size, model, options)
        for line in lines:
            print(f"  size {size}: {line}", flush=True)
        if len(lines) < 2 or not all("PASS" in line for line in lines):
            wrong = f"size {size}: a recorded call is not replayed"
        times = {}
        for environments in options.environments if options.repeats > 0 else []:
            print(f"  size {size}, {environments} environments:", flush=True)
            calls = calls_of(model, environments, options)
            ours = lambda size=size, environments=environments: seconds_of_bench(engine, size, environments)
            times[environments] = interleaved(ours, calls, options)
        record["sizes"][size] = {"agreement": lines, **times}
    return record, wrong
