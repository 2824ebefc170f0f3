"""TD-MPC2's networks and planning call in eager PyTorch, one environment or many at once (Hansen, Su, Wang 2024)."""

import torch
from torch.nn import functional as F

# Hidden widths by size: encoder, other networks, latent, layers of the encoder, value functions.
SIZES = {1: (256, 384, 128, 2, 2), 5: (256, 512, 512, 2, 5)}
BINS, LOW, HIGH, GROUP = 101, -10.0, 10.0, 8
ITERATIONS, SAMPLES, ELITES, POLICIES, HORIZON = 6, 512, 64, 24, 3
LEAST, MOST, TEMPERATURE, DISCOUNT = 0.05, 2.0, 0.5, 0.99
LOG_STD_MIN, LOG_STD_RANGE = -10.0, 12.0


def sim_norm(x):
    return F.softmax(x.view(*x.shape[:-1], -1, GROUP), dim=-1).view(x.shape)


def dense(x, layer, activation):
    """Linear, layer norm, activation."""
    weight, bias, scale, shift = layer
    return activation(F.layer_norm(F.linear(x, weight, bias), weight.shape[:1], scale, shift))


def network(x, layers, last=None):
    """Hidden layers with Mish; the last is plain, or ends in `last` behind its norm."""
    for layer in layers[:-1]:
        x = dense(x, layer, F.mish)
    if last is None:
        return F.linear(x, *layers[-1])
    return dense(x, layers[-1], last)


class Model:
    """Networks of a size, from a state dictionary."""

    def __init__(self, size, state, device):
        members = SIZES[size][4]
        self.state = {name: value.to(device) for name, value in state.items()}
        self.encoder = self.layers("_encoder.state", range(SIZES[size][3]), normed=True)
        self.dynamics = self.layers("_dynamics", range(3), normed=True)
        self.reward = self.layers("_reward", range(3))
        self.policy = self.layers("_pi", range(3))
        self.members = members
        self.values = self.layers("_Qs.params", range(3))
        self.bins = torch.linspace(LOW, HIGH, BINS, device=device)

    def layers(self, prefix, numbers, normed=False):
        last = max(numbers)
        parts = lambda n: ["weight", "bias", *(["ln.weight", "ln.bias"] if normed or n < last else [])]
        return [[self.state[f"{prefix}.{n}.{part}"] for part in parts(n)] for n in numbers]

    def encode(self, observation):
        return network(observation, self.encoder, sim_norm)

    def next(self, z, a):
        return network(torch.cat([z, a], dim=-1), self.dynamics, sim_norm)

    def decode(self, logits):
        scalar = (F.softmax(logits, dim=-1) * self.bins).sum(dim=-1, keepdim=True)
        return torch.sign(scalar) * (torch.exp(torch.abs(scalar)) - 1)

    def act(self, z, eps):
        mean, raw = network(z, self.policy).chunk(2, dim=-1)
        log_std = LOG_STD_MIN + 0.5 * LOG_STD_RANGE * (torch.tanh(raw) + 1)
        return torch.tanh(mean + eps * log_std.exp())

    def all_values(self, z, a):
        """Logits of every member [members, rows, bins], in one batch of products a layer, as a vmap makes them."""
        x = torch.cat([z, a], dim=-1).reshape(1, -1, z.shape[-1] + a.shape[-1]).expand(self.members, -1, -1)
        for index, layer in enumerate(self.values):
            x = torch.baddbmm(layer[1].unsqueeze(1), x, layer[0].transpose(1, 2))
            if index + 1 < len(self.values):
                x = F.layer_norm(x, x.shape[-1:])
                x = F.mish(x * layer[2].unsqueeze(1) + layer[3].unsqueeze(1))
        return x

    def value(self, z, a, pair):
        chosen = self.all_values(z, a)[pair]
        return self.decode(chosen).mean(dim=0).view(*z.shape[:-1], 1)


class Draws:
    """Random numbers of a call for E environments: made on the spot, or those of a file."""

    def __init__(self, environments, action, members, device, given=None):
        self.shape, self.members, self.device, self.given = (environments, action), members, device, given

    def take(self, name, index, make):
        if self.given is None:
            return make()
        return self.given[name] if index is None else self.given[name][index]

    def normal(self, name, index, *shape):
        return self.take(name, index, lambda: torch.randn(self.shape[0], *shape, self.shape[1], device=self.device))


@torch.no_grad()
def plan(model, observation, previous, draws, evaluation=True, trace=None):
    """An action [E, A] and the mean [E, H, A] for observations [E, obs]; `trace` gathers every iteration."""
    environments, action = draws.shape
    device = observation.device
    latent = model.encode(observation).unsqueeze(1)
    actions = torch.empty(environments, SAMPLES, HORIZON, action, device=device)
    z = latent.expand(-1, POLICIES, -1)
    for t in range(HORIZON):
        actions[:, :POLICIES, t] = model.act(z, draws.normal("policy", t, POLICIES))
        if t + 1 < HORIZON:
            z = model.next(z, actions[:, :POLICIES, t])
    mean = torch.zeros(environments, HORIZON, action, device=device)
    if previous is not None:
        mean[:, :-1] = previous[:, 1:]
    std = torch.full_like(mean, MOST)
    for i in range(ITERATIONS):
        noise = draws.take("samples", i, lambda: torch.randn(environments, SAMPLES - POLICIES, HORIZON, action, device=device))
        actions[:, POLICIES:] = (mean.unsqueeze(1) + std.unsqueeze(1) * noise).clamp(-1, 1)
        z = latent.expand(-1, SAMPLES, -1)
        value, discount = 0, 1
        for t in range(HORIZON):
            a = actions[:, :, t]
            value = value + discount * model.decode(network(torch.cat([z, a], dim=-1), model.reward))
            z = model.next(z, a)
            discount = discount * DISCOUNT
        a = model.act(z, draws.normal("value", i, SAMPLES))
        pair = draws.take("pairs", i, lambda: torch.randperm(model.members, device=device)[:2])
        value = (value + discount * model.value(z, a, pair)).nan_to_num(0)
        best, index = torch.topk(value.squeeze(-1), ELITES, dim=1)
        elites = torch.gather(actions, 1, index.view(environments, ELITES, 1, 1).expand(-1, -1, HORIZON, action))
        score = torch.exp(TEMPERATURE * (best - best[:, :1]))
        score = score / score.sum(dim=1, keepdim=True)
        weight, total = score.view(environments, ELITES, 1, 1), score.sum(dim=1).view(-1, 1, 1) + 1e-9
        mean = (weight * elites).sum(dim=1) / total
        std = ((weight * (elites - mean.unsqueeze(1)) ** 2).sum(dim=1) / total).sqrt().clamp(LEAST, MOST)
        if trace is not None:
            trace.append({"value": value.squeeze(-1), "elite_idx": index, "score": score, "mean": mean, "std": std,
                          "actions": actions.clone()})
    exponential = draws.take("exponential", None, lambda: torch.empty_like(score).exponential_())
    chosen = (score.log() - exponential.log()).argmax(dim=1)
    result = elites[torch.arange(environments, device=device), chosen, 0]
    if not evaluation:
        result = result + std[:, 0] * draws.normal("action", None)
    return result.clamp(-1, 1), mean
