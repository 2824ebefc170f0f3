"""The velocity decoder of a flow-matching policy in plain PyTorch modules, and its solvers.

Parameter names are those of the checkpoint, so that `load_state_dict(strict=True)` is the shape check.
"""

import math

import torch
from torch import nn
from torch.nn import functional

ROTARY_BASE = 10.0
# The last fraction of f32 below 1: where the logit of the time is cut.
EPSILON = 2.0**-23


def time_features(times, width):
    """Features [N, D] of flow times [N], computed in f64."""
    times = times.double()
    half = width // 2
    steps = torch.arange(half, dtype=torch.float64, device=times.device)
    angles = 1000.0 * times[:, None] * torch.exp(-math.log(10_000.0) * steps / max(half - 1, 1))
    features = torch.cat([angles.sin(), angles.cos()], 1)
    features[:, 0] = times
    features[:, half] = 0.25 * torch.logit(times.clamp(EPSILON, 1.0 - EPSILON))
    return features.float()


class CrossAttention(nn.Module):
    """Slots look at the condition tokens; the packed projection holds rows q, k, v."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
        self.in_proj_bias = nn.Parameter(torch.empty(3 * width))
        self.out_proj = nn.Linear(width, width)

    def keys_values(self, context):
        """Keys and values [2][B, n, S, dh] of context [B, S, D]."""
        width = context.shape[-1]
        both = functional.linear(context, self.in_proj_weight[width:], self.in_proj_bias[width:])
        return [split(part, self.heads) for part in both.chunk(2, -1)]

    def forward(self, x, keys_values):
        """Slots [B, H, D] after attention over keys and values of as many rows."""
        width = x.shape[-1]
        query = functional.linear(x, self.in_proj_weight[:width], self.in_proj_bias[:width])
        keys, values = keys_values
        mixed = functional.scaled_dot_product_attention(split(query, self.heads), keys, values)
        return self.out_proj(join(mixed))


class SelfAttention(nn.Module):
    """Slots look at each other, with rotary positions or without."""

    def __init__(self, width, heads, horizon, rotary):
        super().__init__()
        self.heads, self.rotary = heads, rotary
        self.out_proj = nn.Linear(width, width)
        if rotary:
            self.qkv_proj = nn.Linear(width, 3 * width)
            size = width // heads
            pairs = torch.arange(size // 2, dtype=torch.float64)
            angles = torch.arange(horizon)[:, None] * ROTARY_BASE ** (-2.0 * pairs / size)
            self.register_buffer("cosines", angles.cos().float(), persistent=False)
            self.register_buffer("sines", angles.sin().float(), persistent=False)
        else:
            self.in_proj_weight = nn.Parameter(torch.empty(3 * width, width))
            self.in_proj_bias = nn.Parameter(torch.empty(3 * width))

    def turn(self, x):
        """Rotates adjacent pairs of [B, n, H, dh] by their slot's angles."""
        even, odd = x[..., 0::2], x[..., 1::2]
        turned = [even * self.cosines - odd * self.sines, even * self.sines + odd * self.cosines]
        return torch.stack(turned, -1).flatten(-2)

    def forward(self, x):
        """Slots [B, H, D] after attention among them."""
        packed = self.qkv_proj(x) if self.rotary else functional.linear(x, self.in_proj_weight, self.in_proj_bias)
        query, keys, values = (split(part, self.heads) for part in packed.chunk(3, -1))
        if self.rotary:
            query, keys = self.turn(query), self.turn(keys)
        return self.out_proj(join(functional.scaled_dot_product_attention(query, keys, values)))


def split(x, heads):
    """[B, T, D] to [B, n, T, dh]."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def join(x):
    """[B, n, T, dh] to [B, T, D]."""
    return x.transpose(1, 2).flatten(-2)


class GatedUnit(nn.Module):
    """Gated linear unit with an exact GELU."""

    def __init__(self, width, multiple):
        super().__init__()
        self.l1 = nn.Linear(width, 2 * multiple * width)
        self.l2 = nn.Linear(multiple * width, width)

    def forward(self, x):
        """[B, H, D] to the same."""
        value, gate = self.l1(x).chunk(2, -1)
        return self.l2(functional.gelu(value) * gate)


class Block(nn.Module):
    """Cross-attention, self-attention and gated unit, each after an adaptive norm."""

    def __init__(self, config):
        super().__init__()
        width, heads = config["dim"], config["heads"]
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.adaLN_modulation = nn.Linear(width, 6 * width)
        self.cross_attn = CrossAttention(width, heads)
        self.self_attn = SelfAttention(width, heads, config["horizon"], config["rope"])
        self.mlp = GatedUnit(width, config["mult"])

    def forward(self, x, keys_values, modulation):
        """Slots [B, H, D], modulation [B or 1, 1 or H, 6D]."""
        scale1, shift1, scale2, shift2, scale3, shift3 = modulation.chunk(6, -1)
        x = x + self.cross_attn((1.0 + scale1) * self.norm(x) + shift1, keys_values)
        x = x + self.self_attn((1.0 + scale2) * self.norm(x) + shift2)
        return x + self.mlp((1.0 + scale3) * self.norm(x) + shift3)


class Decoder(nn.Module):
    """Noised actions, flow time and condition tokens to a velocity."""

    def __init__(self, config):
        super().__init__()
        width = config["dim"]
        self.width, self.slots, self.channels = width, config["horizon"], config["action_dim"]
        if config["cond_dim"] != width:
            self.condition_projection = nn.Linear(config["cond_dim"], width)
        else:
            self.condition_projection = nn.Identity()
        self.action_projection = nn.Linear(self.channels, width)
        self.position_embedding = nn.Embedding(self.slots, width)
        self.time_mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.SiLU(), nn.Linear(4 * width, width))
        self.slot_modulation = nn.Embedding(self.slots, width) if config.get("slot") else None
        self.decoder = nn.ModuleDict({"layers": nn.ModuleList(Block(config) for _ in range(config["layers"]))})
        self.output_projection = nn.Linear(width, self.channels)

    def blocks(self):
        """The blocks, in order."""
        return self.decoder["layers"]

    def modulations(self, features):
        """Modulation [N, 1 or H, 6D] of every block, from time features [N, D]."""
        moment = self.time_mlp(features)[:, None]
        if self.slot_modulation is not None:
            moment = moment + self.slot_modulation.weight
        return [block.adaLN_modulation(moment) for block in self.blocks()]

    def context(self, conditions):
        """Keys and values of every block, from condition tokens [B, S, Dc]."""
        context = self.condition_projection(conditions)
        return [block.cross_attn.keys_values(context) for block in self.blocks()]

    def denoise(self, x, keys_values, modulations):
        """Velocity [B, H, A] at x, from what conditions and time gave."""
        hidden = self.action_projection(x) + self.position_embedding.weight
        for block, pair, modulation in zip(self.blocks(), keys_values, modulations):
            hidden = block(hidden, pair, modulation)
        return self.output_projection(hidden)

    def forward(self, x, features, conditions):
        """One whole evaluation: velocity [B, H, A] at x, features [B, D], conditions [B, S, Dc]."""
        return self.denoise(x, self.context(conditions), self.modulations(features))


# Nodes, stages and weights of the methods with equal steps.
TABLEAUS = {
    "euler": ([0.0], [[]], [1.0]),
    "midpoint": ([0.0, 0.5], [[], [0.5]], [0.0, 1.0]),
    "heun": ([0.0, 1.0], [[], [1.0]], [0.5, 0.5]),
    "rk4": ([0.0, 0.5, 0.5, 1.0], [[], [0.5], [0.0, 0.5], [0.0, 0.0, 1.0]], [1 / 6, 1 / 3, 1 / 3, 1 / 6]),
}


class Sampler:
    """Draws action chunks; the K draws of a frame are rows of one batch.

    `once` computes keys and values of the conditions once a frame and modulations once a flow time, instead of
    for every draw at every evaluation.
    """

    def __init__(self, model, method, steps, once=False):
        self.model, self.method, self.steps, self.once = model, method, steps, once
        self.whole, self.denoise = model.forward, model.denoise

    def compiled(self):
        """The same sampler with the network under torch.compile."""
        other = Sampler(self.model, self.method, self.steps, self.once)
        other.whole, other.denoise = torch.compile(self.model.forward), torch.compile(self.model.denoise)
        return other

    def sample(self, conditions, noise):
        """End points [F, K, H, A] of noise of that shape, with conditions [F, S, Dc]."""
        draws = noise.shape[1]
        velocity = (self._saving if self.once else self._plain)(conditions, draws)
        nodes, stages, weights = TABLEAUS[self.method]
        x, step = noise.flatten(0, 1), 1.0 / self.steps
        for i in range(self.steps):
            found = []
            for node, coefficients in zip(nodes, stages):
                at = x
                for coefficient, known in zip(coefficients, found):
                    if coefficient:
                        at = at + step * coefficient * known
                found.append(velocity(at, i + node))
            for weight, known in zip(weights, found):
                if weight:
                    x = x + step * weight * known
        return x.view(noise.shape)

    def _plain(self, conditions, draws):
        rows = conditions.repeat_interleave(draws, 0)

        def velocity(x, moment):
            times = torch.full((len(x),), moment / self.steps, dtype=torch.float64, device=x.device)
            return self.whole(x, time_features(times, self.model.width), rows)

        return velocity

    def _saving(self, conditions, draws):
        model = self.model
        pairs = [[part.repeat_interleave(draws, 0) for part in pair] for pair in model.context(conditions)]
        nodes = TABLEAUS[self.method][0]
        moments = sorted({i + node for i in range(self.steps) for node in nodes})
        place = {moment: index for index, moment in enumerate(moments)}
        table = torch.tensor(moments, dtype=torch.float64, device=conditions.device)
        modulations = model.modulations(time_features(table / self.steps, model.width))

        def velocity(x, moment):
            at = place[moment]
            return self.denoise(x, pairs, [layer[at : at + 1] for layer in modulations])

        return velocity
