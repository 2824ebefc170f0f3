"""The Tiny Recursive Model in plain PyTorch: level calls, tangents by vmapped `torch.func.jvp`, QR after each.

Written from the published architecture: post-norm blocks without learned gains, attention with rotary positions
(on the halves of a head) or a gated mixer over the length, gated layers over the width. One network serves both
latents: `z_L <- level(z_L + (z_H + e))`, repeated, then `z_H <- level(z_H + z_L)`.
"""

import math

import torch
from torch import nn
from torch.nn import functional


def hidden_width(inputs, expansion):
    """Two thirds of `expansion * inputs`, up to a multiple of 256."""
    return 256 * -(-round(2 * expansion * inputs / 3) // 256)


def root_mean_square(x, epsilon):
    """x over its root mean square along the last dimension."""
    return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon)


class Gated(nn.Module):
    """down(silu(gate) * up)."""

    def __init__(self, inputs, expansion):
        super().__init__()
        hidden = hidden_width(inputs, expansion)
        self.gate_up_proj = nn.Linear(inputs, 2 * hidden, bias=False)
        self.down_proj = nn.Linear(hidden, inputs, bias=False)

    def forward(self, x):
        gate, up = self.gate_up_proj(x).chunk(2, -1)
        return self.down_proj(functional.silu(gate) * up)


class Attention(nn.Module):
    """Self-attention of all rows; queries and keys are turned by their positions."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv_proj = nn.Linear(width, 3 * width, bias=False)
        self.o_proj = nn.Linear(width, width, bias=False)

    def forward(self, x, rotation):
        cosine, sine = rotation
        rows, width = x.shape[-2:]
        split = self.qkv_proj(x).unflatten(-1, (3, self.heads, width // self.heads))
        q, k, v = split.movedim(-3, 0).transpose(-2, -3)
        q, k = (part * cosine + self.turned(part) * sine for part in (q, k))
        scores = q @ k.transpose(-1, -2) / math.sqrt(width // self.heads)
        out = torch.softmax(scores, -1) @ v
        return self.o_proj(out.transpose(-2, -3).flatten(-2))

    @staticmethod
    def turned(x):
        first, second = x.chunk(2, -1)
        return torch.cat([-second, first], -1)


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        width, expansion = config["hidden_size"], config["expansion"]
        self.epsilon, self.mixes = config["rms_norm_eps"], config["mlp_t"]
        if self.mixes:
            self.mlp_t = Gated(config["puzzle_emb_len"] + config["seq_len"], expansion)
        else:
            self.self_attn = Attention(width, config["num_heads"])
        self.mlp = Gated(width, expansion)

    def forward(self, x, rotation):
        if self.mixes:
            turned = x.transpose(-1, -2)
            x = root_mean_square(turned + self.mlp_t(turned), self.epsilon).transpose(-1, -2)
        else:
            x = root_mean_square(x + self.self_attn(x, rotation), self.epsilon)
        return root_mean_square(x + self.mlp(x), self.epsilon)


class Model(nn.Module):
    """A TRM under the names of its checkpoints; the joint state of an example is [2 L, D], z_H first."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        width, vocabulary = config["hidden_size"], config["vocab_size"]
        self.length = config["puzzle_emb_len"] + config["seq_len"]
        self.embed_tokens = nn.Module()
        self.embed_tokens.embedding_weight = nn.Parameter(torch.empty(vocabulary, width))
        self.puzzle_emb = nn.Module()
        self.puzzle_emb.weights = nn.Parameter(
            torch.empty(config["num_puzzle_identifiers"], config["puzzle_emb_ndim"]))
        self.lm_head = nn.Linear(width, vocabulary, bias=False)
        self.q_head = nn.Linear(width, 2)
        self.H_init, self.L_init = nn.Parameter(torch.empty(width)), nn.Parameter(torch.empty(width))
        self.L_level = nn.Module()
        self.L_level.layers = nn.ModuleList(Block(config) for _ in range(config["L_layers"]))
        self.rotation = None if config["mlp_t"] else self.tables()

    def tables(self):
        head = self.config["hidden_size"] // self.config["num_heads"]
        frequency = self.config["rope_theta"] ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)
        angle = torch.outer(torch.arange(self.length, dtype=torch.float64), frequency).repeat(1, 2)
        return angle.cos().float(), angle.sin().float()

    def to(self, device):
        super().to(device)
        if self.rotation is not None:
            self.rotation = tuple(table.to(device) for table in self.rotation)
        return self

    def embed(self, tokens, puzzles):
        """e [B, L, D]."""
        prefix = self.puzzle_emb.weights[puzzles]
        missing = self.config["puzzle_emb_len"] * self.config["hidden_size"] - prefix.shape[-1]
        prefix = functional.pad(prefix, (0, missing)).unflatten(-1, (-1, self.config["hidden_size"]))
        rows = torch.cat([prefix, self.embed_tokens.embedding_weight[tokens]], 1)
        return math.sqrt(self.config["hidden_size"]) * rows

    def start(self, batch):
        """The state before the first step [B, 2 L, D]."""
        both = [init.expand(batch, self.length, -1) for init in (self.H_init, self.L_init)]
        return torch.cat(both, 1)

    def level(self, x):
        for block in self.L_level.layers:
            x = block(x, self.rotation)
        return x

    def lower(self, state, e):
        upper, lower = state.chunk(2, -2)
        return torch.cat([upper, self.level(lower + (upper + e))], -2)

    def upper(self, state, e):
        upper, lower = state.chunk(2, -2)
        return torch.cat([self.level(upper + lower), lower], -2)

    def updates(self):
        """The level calls of one ACT step, in order."""
        one = [self.lower] * self.config["L_cycles"] + [self.upper]
        return one * self.config["H_cycles"]


def pushed(update, state, e, basis):
    """The next state and the basis' image [k, B, 2 L, D]: forward mode, mapped over the k tangents."""
    def one(tangent):
        return torch.func.jvp(lambda x: update(x, e), (state,), (tangent,))
    return torch.func.vmap(one, out_dims=(None, 0))(basis)


def orthonormalised(basis):
    """Q of the reduced QR with a positive diagonal, and the logarithms of that diagonal [B, k]."""
    columns = basis.flatten(2).permute(1, 2, 0)
    q, r = torch.linalg.qr(columns)
    diagonal = torch.diagonal(r, dim1=-2, dim2=-1)
    q = q * torch.where(diagonal < 0, -1.0, 1.0).unsqueeze(-2)
    return q.permute(2, 0, 1).reshape(basis.shape), diagonal.abs().log()


def exponents(model, tokens, puzzles, basis, steps):
    """Mean logarithms [B, k] over every update of `steps` ACT steps, and the last state."""
    e, state = model.embed(tokens, puzzles), model.start(len(tokens))
    total, count = 0.0, 0
    for _ in range(steps):
        for update in model.updates():
            state, basis = pushed(update, state, e, basis)
            basis, logs = orthonormalised(basis)
            total, count = total + logs, count + 1
    return total / count, state
