"""torch.func: all trials as stacked parameters, one compiled step for all; runs some steps and extrapolates.

Shared initial weights, batches and dropout bits, as by hand in JAX; AdamW is written out, since an optimizer of torch
takes one learning rate. The dropout bits of a step are drawn once, outside vmap. A fresh process imports JAX too, for
the data: about 2 s of its time.
"""

import math

import numpy as np
import torch
from halving import configurations
from torch.nn.functional import log_softmax, one_hot, relu

from searches import work as w

STEPS = 400  # of 3,200


def searcher(work):
    """Trains 64-64-64-10 MLPs only: this is no translation of Flax models."""
    data = work.splits()
    (x, y), (x_val, y_val) = ([torch.from_numpy(np.asarray(a)) for a in data[name]] for name in ("train", "validation"))
    labels = one_hot(y.long(), 10).float() * 0.98 + 0.002
    val_labels = one_hot(y_val.long(), 10).float() * 0.98 + 0.002

    def loss(params, x, labels, uniforms, dropout):
        for layer in range(2):
            x = relu(x @ params[2 * layer] + params[2 * layer + 1])
            if uniforms is not None:
                x = torch.where(uniforms[layer] >= dropout, x / (1 - dropout), 0.0)
        return -(labels * log_softmax(x @ params[4] + params[5], -1)).sum(-1).mean()

    gradients = torch.func.vmap(torch.func.grad(loss), in_dims=(0, None, None, None, 0))

    def step(params, first, second, x, labels, uniforms, hp, rate, number):
        grads = gradients(params, x, labels, uniforms, hp["dropout"])
        new = []
        for p, m, v, g in zip(params, first, second, grads, strict=True):
            lanes = (-1,) + (1,) * (p.dim() - 1)
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            update = (m / (1 - 0.9**number)) / ((v / (1 - 0.999**number)).sqrt() + 1e-8)
            update = update + hp["weight_decay"].view(lanes) * p
            new.append((p - (rate * hp["lr"]).view(lanes) * update, m, v))
        return tuple(zip(*new, strict=True))

    compiled = torch.compile(step)
    validate = torch.func.vmap(lambda p: loss(p, x_val, val_labels, None, None))

    def search(seed):
        steps = min(STEPS, work.max_steps)
        found = w.Found(share=steps / work.max_steps, first_trials=1.0)
        torch.manual_seed(seed)
        hp = {name: torch.from_numpy(np.array(v)) for name, v in configurations(seed, work.trials).items()}
        params = tuple(p.expand(work.trials, *p.shape).contiguous() for p in initial())
        state = params, tuple(map(torch.zeros_like, params)), tuple(map(torch.zeros_like, params))
        rows = torch.from_numpy(w.rows(work, seed))
        for number in range(steps):
            batch, uniforms = rows[number], torch.rand(2, work.batch, 64)
            rate = torch.tensor(warmup_cosine(number, work.max_steps))
            state = compiled(*state, x[batch], labels[batch], uniforms, hp, rate, torch.tensor(number + 1.0))
        found.best = float(validate(state[0]).nan_to_num(math.inf).min())
        found.saw(found.best)
        return found.done()

    return search


def initial():
    """Parameters of one trial, as Flax makes them: LeCun-normal weights, no bias."""
    sizes = [(64, 64), (64, 64), (64, 10)]
    pairs = ((torch.randn(n, m) / math.sqrt(n), torch.zeros(m)) for n, m in sizes)
    return [p for pair in pairs for p in pair]


def warmup_cosine(number, total):
    """Of the peak learning rate: up over 2 % of the steps, then down along a cosine."""
    warmup = 0.02 * total
    if number < warmup:
        return number / warmup
    return 0.5 * (1 + math.cos(math.pi * (number - warmup) / (total - warmup)))
