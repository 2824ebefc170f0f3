"""The masked-diffusion planner in plain PyTorch modules, and its three samplers.

Module names are those of the checkpoint, so that `load_state_dict(strict=True)` is the shape check.
"""

import math

import torch
from torch import nn

GLYPHS = 6000


class Denoiser(nn.Module):
    """Observation and partly masked actions to logits."""

    def __init__(self, config):
        super().__init__()
        width, heads = config["n_embd"], config["n_head"]
        self.actions = config["action_dim"]
        self.length = config["seq_len"]
        self.levels = config["num_diffusion_steps"]
        self.sees_map = config.get("use_global_stream", True)
        crop = config.get("crop_size", 9)
        self.embedding = nn.Embedding(GLYPHS, 64)
        self.cnn = nn.Sequential(
            nn.Conv2d(64, 32, 3, padding=1), nn.GELU(),
            nn.Conv2d(32, 64, 3, padding=1), nn.GELU(),
            nn.Flatten(), nn.Linear(64 * crop * crop, width),
        )
        if self.sees_map:
            self.global_embedding = nn.Embedding(GLYPHS, 32)
            self.global_cnn = nn.Sequential(
                nn.Conv2d(32, 32, 5, stride=2, padding=2), nn.GELU(),
                nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.GELU(),
                nn.AdaptiveAvgPool2d((2, 4)),
            )
            self.global_proj = nn.Linear(64, width)
            self.goal_head = nn.Sequential(nn.Linear(width, 128), nn.GELU(), nn.Linear(128, 2))
            self.global_gate = nn.Parameter(torch.zeros(()))
        self.action_emb = nn.Embedding(self.actions + 2, width)
        self.timestep_emb = nn.Embedding(self.levels, width)
        self.pos_emb = nn.Embedding(self.length, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True,
        )
        self.transformer = nn.TransformerEncoder(layer, config["n_layer"], enable_nested_tensor=False)
        self.head = nn.Linear(width, self.actions)
        self.register_buffer("positions", torch.arange(self.length), persistent=False)

    def context(self, local, world):
        """Tokens that depend on the observation alone, [B, 9 or 1, E], and the goal [B, 2] or None."""
        token = self.cnn(self.embedding(local).permute(0, 3, 1, 2)).unsqueeze(1)
        if not self.sees_map:
            return token, None
        features = self.global_cnn(self.global_embedding(world).permute(0, 3, 1, 2))
        tokens = self.global_proj(features.flatten(2).transpose(1, 2))
        goal = self.goal_head(tokens.mean(1))
        return torch.cat([token, torch.sigmoid(self.global_gate) * tokens], 1), goal

    def denoise(self, context, tokens, time):
        """Logits [B, L, A] of the actions, from tokens [B, L] at the time index `time`, int or [B]."""
        if isinstance(time, int):
            moment = self.timestep_emb.weight[time]
        else:
            moment = self.timestep_emb(time).unsqueeze(1)
        actions = self.action_emb(tokens) + moment + self.pos_emb(self.positions)
        hidden = self.transformer(torch.cat([context, actions], 1))
        return self.head(hidden[:, -self.length :])

    def forward(self, local, world, tokens, time):
        """One whole evaluation: logits and goal."""
        context, goal = self.context(local, world)
        return self.denoise(context, tokens, time), goal


def alpha(schedule, t):
    """Probability that a token is still unmasked at time t, f32 like the original."""
    t = torch.tensor(t, dtype=torch.float32)
    if schedule == "linear":
        return float(1.0 - t)
    cosine = torch.cos(t * (math.pi / 2))
    return float(cosine * cosine if schedule == "cosine_sq" else cosine)


class Slack:
    """Smallest distance of each row's decisions from going the other way, [B]."""

    def __init__(self, rows, device):
        self.value = torch.full((rows,), float("inf"), dtype=torch.float64, device=device)

    def see(self, distances, where=None):
        """Takes distances [B, L] into account where `where` holds."""
        distances = distances.abs().double()
        if where is not None:
            distances = torch.where(where, distances, float("inf"))
        self.value = torch.minimum(self.value, distances.flatten(1).amin(1))


def _draw(probabilities, uniform):
    """First action whose cumulative probability exceeds the uniform number, and the cumulative sums."""
    cumulative = probabilities.double().cumsum(-1)
    cumulative = cumulative / cumulative[..., -1:]
    above = cumulative > uniform.unsqueeze(-1)
    return above.to(torch.uint8).argmax(-1), cumulative


def _most_confident(confidence, masked, count, slack):
    """The `count` most confident masked positions of each row; equal ones in order of position."""
    ranked = torch.where(masked, confidence, -1.0)
    values, order = ranked.sort(dim=-1, descending=True, stable=True)
    chosen = torch.zeros_like(masked).scatter_(1, order[:, :count], True) & masked
    if slack is not None and count < values.shape[1]:
        contested = values[:, count] >= 0.0
        gap = values[:, count - 1] - values[:, count]
        slack.see(gap.unsqueeze(1), contested.unsqueeze(1))
    return chosen


def _argmax_gap(logits):
    top = logits.topk(2, -1).values
    return top[..., 0] - top[..., 1]


class Sampler:
    """Draws plans. `once` computes the observation's tokens once a plan instead of at every step."""

    def __init__(self, model, kind, steps, settings, once=False):
        self.model, self.kind, self.steps, self.settings, self.once = model, kind, steps, settings, once
        self.denoise = model.denoise
        self.whole = model.forward

    def compiled(self):
        """The same sampler with the network under torch.compile."""
        other = Sampler(self.model, self.kind, self.steps, self.settings, self.once)
        other.denoise = torch.compile(self.model.denoise)
        other.whole = torch.compile(self.model.forward)
        return other

    def plan(self, local, world, draws=None, slack=None):
        """Plans [B, L]. `draws` replays uniform numbers [K, B, L] by name; without it they are drawn."""
        run = {"greedy": self._greedy, "maskgit_remask": self._maskgit, "remdm_bernoulli": self._bernoulli}
        context = self.model.context(local, world)[0] if self.once else None

        def network(tokens, time):
            # A compiled network would be specialised, and built again, for every integer time.
            time = torch.full((len(tokens),), time, dtype=torch.long, device=tokens.device)
            if context is not None:
                return self.denoise(context, tokens, time)
            return self.whole(local, world, tokens, time)[0]

        def uniform(name, step):
            if draws is not None:
                return draws[name][step]
            return torch.rand(len(local), self.model.length, device=local.device)

        tokens = torch.full((len(local), self.model.length), self.model.actions, device=local.device)
        return run[self.kind](network, uniform, tokens, slack)

    def _greedy(self, network, uniform, tokens, slack):
        mask, length, levels = self.model.actions, self.model.length, self.model.levels
        for k in range(1, self.steps + 1):
            progress = k / self.steps
            logits = network(tokens, int(levels * (1.0 - progress)))
            confidence, predicted = logits.softmax(-1).max(-1)
            chosen = _most_confident(confidence, tokens == mask, max(1, int(length * progress)), slack)
            if slack is not None:
                slack.see(_argmax_gap(logits), chosen)
            tokens = torch.where(chosen, predicted, tokens)
        # The last step's count is the whole length, so nothing masked is left.
        return tokens

    def _maskgit(self, network, uniform, tokens, slack):
        mask, length, levels = self.model.actions, self.model.length, self.model.levels
        eta, keep = self.settings["eta"], max(1, int(0.1 * length))
        # The first recipe calls the squared cosine "cosine".
        schedule = {"cosine": "cosine_sq"}.get(self.settings["schedule"], self.settings["schedule"])
        for k in range(1, self.steps + 1):
            progress = k / self.steps
            logits = network(tokens, int(levels * (1.0 - progress))) / self.settings["temperature"]
            top = self.settings["top_k"]
            if 0 < top < mask:
                best = logits.topk(top + 1, -1).values
                limit = best[..., top - 1 : top]
                if slack is not None:
                    slack.see(best[..., top - 1] - best[..., top], tokens == mask)
                logits = logits.masked_fill(logits < limit, float("-inf"))
            drawn = uniform("u_cat", k - 1)
            probabilities = logits.softmax(-1)
            sampled, cumulative = _draw(probabilities, drawn)
            masked = tokens == mask
            if slack is not None:
                slack.see((cumulative[..., :-1] - drawn.unsqueeze(-1)).abs().amin(-1), masked)
            if k == self.steps:
                return torch.where(masked, sampled, tokens)
            confidence = probabilities.gather(-1, sampled.unsqueeze(-1)).squeeze(-1)
            count = max(keep, max(1, int(length * progress)))
            chosen = _most_confident(confidence, masked, count, slack)
            tokens = torch.where(chosen, sampled, tokens)
            most = 1.0 - alpha(schedule, progress)
            remask = {
                "rescale": lambda: torch.full_like(confidence, eta * most),
                "cap": lambda: torch.full_like(confidence, min(eta, most)),
                "conf": lambda: eta * most * (1.0 - confidence),
            }[self.settings["strategy"]]()
            drawn = uniform("u_remask", k - 1)
            committed = tokens != mask
            if slack is not None:
                slack.see(drawn - remask, committed)
            tokens = torch.where(committed & (drawn < remask), mask, tokens)
        return tokens

    def _bernoulli(self, network, uniform, tokens, slack):
        mask, levels, steps = self.model.actions, self.model.levels, self.steps
        eta, strategy = self.settings["eta"], self.settings["strategy"]
        stored = torch.full(tokens.shape, float("inf"), device=tokens.device)
        for i in range(steps):
            t, s = (steps - i) / steps, (steps - i - 1) / steps
            now, later = alpha(self.settings["schedule"], t), alpha(self.settings["schedule"], s)
            logits = network(tokens, min(int(t * levels), levels - 1))
            raw = logits.softmax(-1)
            filtered = self._nucleus(logits / self.settings["temperature"], slack, tokens == mask)
            drawn = uniform("u_cat", i)
            sampled, cumulative = _draw(filtered.softmax(-1), drawn)
            masked = tokens == mask
            decode = raw.gather(-1, sampled.unsqueeze(-1)).squeeze(-1)
            most = min(1.0, (1.0 - later) / max(now, 1e-8))
            if strategy == "conf":
                # Nothing is committed at first: the softmax of all -inf is NaN, and means 0.
                share = (-stored).masked_fill(masked, float("-inf")).softmax(-1).nan_to_num(0.0)
                sigma = eta * most * share
            else:
                sigma = torch.full_like(stored, eta * most if strategy == "rescale" else min(eta, most))
            unmask = ((later - (1.0 - sigma) * now) / max(1.0 - now, 1e-8)).clamp(0.0, 1.0)
            first, second = uniform("u_unmask", i), uniform("u_remask", i)
            commit, remask = masked & (first < unmask), ~masked & (second < sigma)
            if slack is not None:
                slack.see((cumulative[..., :-1] - drawn.unsqueeze(-1)).abs().amin(-1), commit)
                slack.see(first - unmask, masked)
                slack.see(second - sigma, ~masked)
            tokens = torch.where(remask, mask, torch.where(commit, sampled, tokens))
            stored = torch.where(remask, float("inf"), torch.where(commit, decode, stored))
        # The last step has s = 0, where every masked position is committed.
        return tokens

    def _nucleus(self, logits, slack, masked):
        """Keeps the most probable actions whose exclusive cumulative probability is below top-p."""
        if self.settings["top_p"] >= 1.0:
            return logits
        ranked, order = logits.sort(dim=-1, descending=True, stable=True)
        probabilities = ranked.softmax(-1)
        before = probabilities.cumsum(-1) - probabilities
        outside = before >= self.settings["top_p"]
        if slack is not None:
            slack.see((before - self.settings["top_p"]).abs().amin(-1), masked)
        outside[..., 0] = False
        drop = torch.zeros_like(outside).scatter_(-1, order, outside)
        return logits.masked_fill(drop, float("-inf"))
