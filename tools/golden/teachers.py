"""What is learned from a teacher, in float64 (knowledge distillation, xERM, attention transfer), and TLC's experts."""

import json
import math
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


ENGAGE, RATE, ETA = 0.54, 0.3, 0.2


def needs(each, classes):
    """How much each sample still needs an expert: w of every expert."""
    w, before = [torch.ones(len(each[0]), dtype=torch.float64)], None
    for z in each:
        alpha = z.exp() + 1
        s = alpha.sum(1, keepdim=True)
        b, u = (alpha - 1) / s, classes / s[:, 0]
        conflict = 0
        if before is not None:
            pairs = before[:, :, None] * b[:, None, :]
            conflict = pairs.sum((1, 2)) - pairs.diagonal(dim1=1, dim2=2).sum(1)
        before = b
        w.append(w[-1] * u / (1 - conflict))
    return w[:-1]


def tlc(each, y, n, share):
    """LDAM's cross-entropy with class weights, and the divergence, over the engaged samples of each expert."""
    beta, s = 0.999, 30.0
    v = (1 - beta) / (1 - beta**n)
    v = v / v.mean()
    m = 0.5 * n**-0.25 / (n**-0.25).max()
    hot = F.one_hot(y, len(n))
    total = 0
    for z, w in zip(each, needs([z.detach() for z in each], len(n))):
        rows = v[y] * F.cross_entropy(z - s * m * hot, y, reduction="none")
        alpha = hot + (1 - hot) * (z.exp() + 1)
        whole = alpha.sum(1, keepdim=True)
        kl = torch.lgamma(whole)[:, 0] - math.lgamma(len(n)) - torch.lgamma(alpha).sum(1)
        kl = kl + ((alpha - 1) * (torch.digamma(alpha) - torch.digamma(whole))).sum(1)
        engaged = (w / w.max() > ENGAGE).double()
        total = total + (engaged * (rows + share * RATE * kl)).sum() / engaged.sum()
    return total


def write_tlc(folder):
    rng = np.random.default_rng(29)
    n = torch.tensor(COUNTS, dtype=torch.float64)
    y = torch.tensor(rng.permutation(np.arange(ROWS) % len(COUNTS)))
    # Cosines of a cosine head times 30 for the gradients' size, some rows far surer than others.
    sure = np.array([0.02, 0.1, 0.9, 0.05, 0.3, 0.08, 0.5])[:, None]
    drawn = [(30 * sure * rng.uniform(-1, 1, (ROWS, len(COUNTS)))).astype(np.float32) for _ in range(3)]
    z = [torch.tensor(d, dtype=torch.float64, requires_grad=True) for d in drawn]
    tensors = {"labels": y.numpy()}
    w = needs([e.detach() for e in z], len(n))
    weight = torch.stack([(e / ETA).exp() for e in w])
    weight = weight / weight.sum(0)
    tensors["output"] = sum(e.detach() * p[:, None] for e, p in zip(z, weight)).numpy().astype(np.float32)
    for e, logits in enumerate(z):
        tensors[f"logits.{e}"] = drawn[e]
        tensors[f"weight.{e}"] = w[e].numpy().astype(np.float32)
    for kind, share in (("start", 0.0), ("half", 0.5)):
        loss = tlc(z, y, n, share)
        tensors[f"{kind}_loss"] = np.array([loss.item()], np.float32)
        for e, g in enumerate(torch.autograd.grad(loss, z)):
            tensors[f"{kind}_gradient.{e}"] = g.numpy().astype(np.float32)
    engaged = [int((e / e.max() > ENGAGE).sum()) for e in w]
    meta = {"counts": json.dumps(COUNTS), "engage": ENGAGE, "rate": RATE, "engaged": json.dumps(engaged)}
    meta["source"] = f"torch {torch.__version__.split('+')[0]} float64"
    files.save(pathlib.Path(folder).parent / "experts" / "tlc.safetensors", tensors, meta)


SUPPRESS = 0.7


def write_ace(folder):
    """Experts for all, the rarest two thirds and the rarest third of the classes (COUNTS fall)."""
    rng = np.random.default_rng(31)
    n = torch.tensor(COUNTS, dtype=torch.float64)
    classes, rows = len(COUNTS), 9
    y = torch.tensor(rng.permutation(np.arange(rows) % classes))
    v = (1 - 0.999) / (1 - 0.999**n)
    v = v / v.mean()
    drawn = [rng.normal(0, 2, (rows, classes)).astype(np.float32) for _ in range(3)]
    weights = [rng.normal(0, 1 + e, (classes, 4)).astype(np.float32) for e in range(3)]
    z = [torch.tensor(d, dtype=torch.float64, requires_grad=True) for d in drawn]
    loss, output, asked = 0, 0, 0
    for e in range(3):
        known = torch.arange(classes) >= classes * e // 3
        taken = known[y]
        loss_rows = v[y] * F.cross_entropy(z[e], y, reduction="none")
        if e > 0:
            loss_rows = loss_rows + SUPPRESS * z[e][:, ~known].pow(2).mean(1)
        loss = loss + n[known].sum() / n.sum() * loss_rows[taken].mean()
        scale = (weights[0].astype(np.float64) ** 2).sum() / (weights[e].astype(np.float64) ** 2).sum()
        output = output + scale * z[e].detach() * known
        asked = asked + known.double()
    tensors = {"labels": y.numpy(), "loss": np.array([loss.item()], np.float32)}
    tensors["output"] = (output / asked).numpy().astype(np.float32)
    for e, g in enumerate(torch.autograd.grad(loss, z)):
        tensors[f"logits.{e}"], tensors[f"weight.{e}"] = drawn[e], weights[e]
        tensors[f"gradient.{e}"] = g.numpy().astype(np.float32)
    meta = {"counts": json.dumps(COUNTS), "suppress": SUPPRESS}
    meta["source"] = f"torch {torch.__version__.split('+')[0]} float64"
    files.save(pathlib.Path(folder).parent / "experts" / "ace.safetensors", tensors, meta)


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
