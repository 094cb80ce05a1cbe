"""What is learned from a teacher, in float64: knowledge distillation, xERM, attention transfer."""

import json
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from . import files
from .losses import COUNTS

ROWS = 7
TEMPERATURE, WEIGHT, GAMMA, BETA = 1.5, 0.7, 1.5, 1000.0


def kd(z, t, y, n):
    """z: each expert's logits, t: the teacher's."""
    hard = sum(F.cross_entropy(e, y) for e in z)
    q, p = F.softmax(t / TEMPERATURE, 1), F.log_softmax(sum(z) / len(z) / TEMPERATURE, 1)
    return hard + WEIGHT * TEMPERATURE**2 * F.kl_div(p, q, reduction="batchmean")


def xerm(z, t, y, n):
    free = t - (n / n.sum()).log()
    biased = F.cross_entropy(t, y, reduction="none") ** GAMMA
    unbiased = F.cross_entropy(free, y, reduction="none") ** GAMMA
    w = unbiased / (unbiased + biased + 1e-5)
    total = 0
    for e in z:
        soft = -(F.softmax(free, 1) * e.log_softmax(1)).sum(1)
        total = total + (w * soft).mean() + ((1 - w) * F.cross_entropy(e, y, reduction="none")).mean()
    return total


def attention(maps):
    return F.normalize(maps.pow(2).mean(1).flatten(1), dim=1)


def attention_transfer(own, other):
    return BETA * sum((attention(a) - attention(b)).pow(2).mean() for a, b in zip(own, other))


def write(folder):
    rng = np.random.default_rng(23)

    def drawn(shape, sd=1.0):
        return torch.tensor(rng.normal(0, sd, shape).astype(np.float32), dtype=torch.float64)

    n = torch.tensor(COUNTS, dtype=torch.float64)
    y = torch.tensor(rng.permutation(np.arange(ROWS) % len(COUNTS)))
    z = [drawn((ROWS, len(COUNTS)), 2.0).requires_grad_() for _ in range(2)]
    teachers = [drawn((ROWS, len(COUNTS)), 2.0) for _ in range(3)]
    t = sum(teachers) / 3
    # One map of the second stage is 0 throughout, as behind a ReLU it may be.
    own = [drawn(shape).relu() for shape in ((ROWS, 3, 4, 4), (ROWS, 5, 2, 2))]
    own[1][2] = 0
    own = [maps.requires_grad_() for maps in own]
    other = [drawn(shape).relu() for shape in ((ROWS, 4, 4, 4), (ROWS, 5, 2, 2))]
    tensors = {"labels": y.numpy()}
    for name, group in (("logits", z), ("teacher", teachers), ("maps", own), ("teacher_maps", other)):
        for i, value in enumerate(group):
            tensors[f"{name}.{i}"] = value.detach().numpy().astype(np.float32)
    hard = sum(F.cross_entropy(e, y) for e in z)
    for kind, loss, by in (
        ("kd", kd(z, t, y, n), z),
        ("xerm", xerm(z, t, y, n), z),
        ("attention", hard + attention_transfer(own, other), own),
    ):
        tensors[f"{kind}_loss"] = np.array([loss.item()], np.float32)
        for i, g in enumerate(torch.autograd.grad(loss, by, retain_graph=True)):
            tensors[f"{kind}_gradient.{i}"] = g.numpy().astype(np.float32)
    meta = {"counts": json.dumps(COUNTS), "temperature": TEMPERATURE, "weight": WEIGHT, "gamma": GAMMA, "beta": BETA}
    meta["source"] = f"torch {torch.__version__.split('+')[0]} float64"
    files.save(pathlib.Path(folder).parent / "experts" / "teacher.safetensors", tensors, meta)
