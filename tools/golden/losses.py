"""Values and gradients of the long-tail losses in float64, each formula written anew with PyTorch.

Every function takes logits z [N, C] (s·cosines for those on cosines), labels y, counts n, the head's factor s,
the options, and the random numbers the engine draws at step 0; it returns the loss of each row."""

import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from . import files

SEED = (17, 5)


def philox(counter, key):
    """Philox4x32-10 of Random123."""
    c, k = list(counter), list(key)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & 0xFFFFFFFF, (a >> 32) ^ c[3] ^ k[1], a & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c


def noise(shape, which, kind, p=0.0, step=0):
    """The engine's `noise`: uniform, normal or Bernoulli numbers of a step."""
    found = []
    for e in range(math.prod(shape)):
        words = philox((e, step, 3, which), SEED)
        u, v = ((w >> 8) * 2.0**-24 for w in words[:2])
        if kind == "normal":
            found.append(math.sqrt(-2 * math.log(1 - u)) * math.cos(2 * math.pi * v))
        else:
            found.append(float(u < p) if kind == "bernoulli" else u)
    return torch.tensor(found, dtype=torch.float64).reshape(shape)


def rows(z, y):
    return F.cross_entropy(z, y, reduction="none")


def ce(z, y, n, s, o):
    return rows(z, y)


def balanced_softmax(z, y, n, s, o):
    return rows(z + n.log(), y)


def logit_adjustment(z, y, n, s, o):
    return rows(z + o["tau"] * (n / n.sum()).log(), y)


def ldam(z, y, n, s, o):
    m = o["max_margin"] * n ** -0.25 / (n ** -0.25).max()
    cosines = z / s
    cosines = cosines - m * F.one_hot(y, len(n))
    return rows(s * cosines, y)


def equalization(z, y, n, s, o):
    rare = (n / n.sum() < o["lambda"]).double()
    spared = noise(z.shape, 0, "bernoulli", o["gamma"])
    w = 1 - spared * rare * (1 - F.one_hot(y, len(n)))
    total = (w * z.exp()).sum(1)
    return total.log() - z.gather(1, y[:, None])[:, 0]


def seesaw(z, y, n, s, o):
    p = z.softmax(1).detach()
    mitigation = (n[None, :] / n[y][:, None]).clamp(max=1) ** o["p"]
    own = p.gather(1, y[:, None]).clamp(min=1e-2)
    compensation = (p / own).clamp(min=1) ** o["q"]
    factor = torch.where(F.one_hot(y, len(n)).bool(), torch.ones_like(p), mitigation * compensation)
    return rows(z + factor.log(), y)


def ala(z, y, n, s, o):
    own = z.gather(1, y[:, None])[:, 0] / s
    amount = s * 0.5 * (1 - own) * math.log(2) / (n[y] / n.min() + 1).log()
    return rows(z - amount.detach()[:, None] * F.one_hot(y, len(n)), y)


def gcl(z, y, n, s, o):
    size = (noise(z.shape, 1, "normal") / 3).clamp(-1, 1).abs()
    spread = (n.max().log() - n.log()) / (n.max().log() - n.min().log())
    return rows(s * (z / s - o["m"] * size * spread), y)


def iif(z, y, n, s, o):
    total = n.sum()
    w = ((total + 1) / (n + 1)).log() + 1 if o["smooth"] else (total / n).log()
    return rows(z * w, y)


def cdt(z, y, n, s, o):
    return rows(z / (n.max() / n) ** o["gamma"], y)


def logit_norm(z, y, n, s, o):
    return rows(z / (o["tau"] * z.norm(dim=1, keepdim=True)), y)


def t_vmf(z, y, n, s, o):
    c = z / s
    return rows(s * ((1 + c) / (1 + o["kappa"] * (1 - c)) - 1), y)


def focal(z, y, n, s, o):
    p = z.softmax(1).gather(1, y[:, None])[:, 0]
    return -((1 - p) ** o["gamma"]) * p.log()


def focal_sigmoid(z, y, n, s, o):
    hot = F.one_hot(y, len(n)).double()
    loss = F.binary_cross_entropy_with_logits(z, hot, reduction="none")
    p = torch.sigmoid(z)
    right = p * hot + (1 - p) * (1 - hot)
    return ((1 - right) ** o["gamma"] * loss).sum(1)


def label_aware_smoothing(z, y, n, s, o):
    share = (n - n.min()) / (n.max() - n.min())
    e = (o["tail"] + (o["head"] - o["tail"]) * torch.sin(math.pi / 2 * share))[y]
    log_p = z.log_softmax(1)
    return -(1 - e) * log_p.gather(1, y[:, None])[:, 0] - e * log_p.mean(1)


def abc_norm(z, y, n, s, o):
    a = (n / n.mean()) ** o["power"]
    return (1 - o["tau"]) * rows(z, y) + o["tau"] * (z.softmax(1) * a).pow(2).sum(1)


# name, function, cosines, options of each case
LOSSES = [
    ("ce", ce, False, [{}]),
    ("balanced-softmax", balanced_softmax, False, [{}]),
    ("logit-adjustment", logit_adjustment, False, [{"tau": 1.0}, {"tau": 2.5}]),
    ("ldam", ldam, True, [{"max_margin": 0.5}]),
    ("equalization", equalization, False, [{"gamma": 0.9, "lambda": 5e-3}, {"gamma": 0.5, "lambda": 0.2}]),
    ("seesaw", seesaw, False, [{"p": 0.8, "q": 2.0}]),
    ("ala", ala, True, [{}]),
    ("gcl", gcl, True, [{"m": 0.5}]),
    ("iif", iif, False, [{"smooth": 1.0}, {"smooth": 0.0}]),
    ("cdt", cdt, False, [{"gamma": 0.2}]),
    ("logit-norm", logit_norm, False, [{"tau": 0.04}, {"tau": 0.5}]),
    ("t-vmf", t_vmf, True, [{"kappa": 16.0}]),
    ("focal", focal, False, [{"gamma": 2.0}, {"gamma": 1.0}, {"gamma": 0.5}]),
    ("focal-sigmoid", focal_sigmoid, False, [{"gamma": 2.0}, {"gamma": 0.5}]),
    ("label-aware-smoothing", label_aware_smoothing, False, [{"head": 0.3, "tail": 0.0}]),
    ("abc-norm", abc_norm, False, [{"tau": 0.5, "power": 0.5}, {"tau": 0.3, "power": 0.0}]),
]

# Class weights by the effective number of samples.
BETA = 0.999
COUNTS = [500, 130, 41, 9, 3, 1]
ROWS = 9


def write(folder):
    """One file a loss: for each case logits and labels in; the mean loss and its gradient, without and with
    class weights, out."""
    for name, function, cosine, cases in LOSSES:
        rng = np.random.default_rng(sum(name.encode()))
        tensors, meta = {}, {"loss": name, "counts": json.dumps(COUNTS), "seed": json.dumps(SEED), "beta": str(BETA)}
        s = 30.0 if cosine else 1.0
        meta["scale"] = str(s)
        meta["options"] = json.dumps(cases)
        n = torch.tensor(COUNTS, dtype=torch.float64)
        for i, options in enumerate(cases):
            spread = rng.uniform(-1, 1, (ROWS, len(COUNTS))) if cosine else rng.normal(0, 2, (ROWS, len(COUNTS)))
            z = torch.tensor((s * spread).astype(np.float32), dtype=torch.float64, requires_grad=True)
            y = torch.tensor(rng.permutation(np.arange(ROWS) % len(COUNTS)))
            v = (1 - BETA) / (1 - BETA**n)
            v = v / v.mean()
            tensors[f"logits.{i}"] = z.detach().numpy().astype(np.float32)
            tensors[f"labels.{i}"] = y.numpy()
            for kind, w in (("plain", torch.ones_like(v)), ("weighted", v)):
                loss = (w[y] * function(z, y, n, s, options)).sum() / w[y].sum()
                (gradient,) = torch.autograd.grad(loss, z)
                tensors[f"{kind}_loss.{i}"] = np.array([loss.item()], np.float32)
                tensors[f"{kind}_gradient.{i}"] = gradient.numpy().astype(np.float32)
        meta["source"] = f"torch {torch.__version__.split('+')[0]} float64"
        files.save(pathlib.Path(folder) / f"{name}.safetensors", tensors, meta)
    print(f"{len(LOSSES)} losses in {folder}")


def write_experts(folder):
    """Three experts' cross-entropies and RIDE's diversity, its temperatures off (even) and on (spread)."""
    rng = np.random.default_rng(11)
    factor, spread = -0.45, 0.05
    n = torch.tensor(COUNTS, dtype=torch.float64)
    y = torch.tensor(rng.permutation(np.arange(ROWS) % len(COUNTS)))
    z = [torch.tensor(rng.normal(0, 2, (ROWS, len(COUNTS))).astype(np.float32), dtype=torch.float64) for _ in range(3)]
    tensors = {"labels": y.numpy()}
    for e, logits in enumerate(z):
        tensors[f"logits.{e}"] = logits.numpy().astype(np.float32)
        logits.requires_grad_()
    own = n / n.sum() * len(n) * spread + 1 - spread
    for kind, t in (("even", torch.ones_like(n)), ("spread", own / own.max())):
        with torch.no_grad():
            p = F.softmax(sum(z) / 3 / t, 1)
        loss = sum(F.cross_entropy(logits, y) for logits in z)
        for logits in z:
            q = F.log_softmax(logits / t, 1)
            loss = loss + factor * t.mean() ** 2 * F.kl_div(q, p, reduction="batchmean")
        tensors[f"{kind}_loss"] = np.array([loss.item()], np.float32)
        for e, g in enumerate(torch.autograd.grad(loss, z)):
            tensors[f"{kind}_gradient.{e}"] = g.numpy().astype(np.float32)
    meta = {"counts": json.dumps(COUNTS), "factor": str(factor), "spread": str(spread)}
    meta["source"] = f"torch {torch.__version__.split('+')[0]} float64"
    files.save(pathlib.Path(folder).parent / "experts" / "ride.safetensors", tensors, meta)
