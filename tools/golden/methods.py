"""Values and gradients of methods' parts in float64, each written anew with PyTorch: weight normalization
(torch's own), TransNorm and the contrastive losses after their authors' code. One file a part: inputs by name,
the outputs, `loss` = Σ c·y with given coefficients c, and its gradients `grad.NAME`."""

import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from . import files


def given(rng, *shape, scale=1.0):
    """Numbers that float32 holds exactly, in float64."""
    return torch.tensor((scale * rng.normal(size=shape)).astype(np.float32), dtype=torch.float64)


def save(folder, name, inputs, outputs, loss, meta=None):
    wanted = [x for x in inputs.values() if x.requires_grad]
    gradients = iter(torch.autograd.grad(loss, wanted))
    tensors = {"loss": loss.detach().reshape(1)}
    for key, x in inputs.items():
        tensors[key] = x.detach()
        if x.requires_grad:
            tensors[f"grad.{key}"] = next(gradients)
    tensors.update({key: y.detach() for key, y in outputs.items()})
    arrays = {k: v.numpy().astype(np.int64 if v.dtype == torch.int64 else np.float32) for k, v in tensors.items()}
    meta = dict(meta or {}, source=f"torch {torch.__version__.split('+')[0]} float64")
    files.save(pathlib.Path(folder) / f"{name}.safetensors", arrays, meta)


def weight_norm(folder):
    rng = np.random.default_rng(1)
    for name, shape in (("linear", (5, 7)), ("conv", (4, 3, 3, 3))):
        v, c = given(rng, *shape).requires_grad_(), given(rng, *shape)
        g = given(rng, shape[0], *[1] * (len(shape) - 1)).requires_grad_()
        w = torch._weight_norm(v, g, 0)
        save(folder, f"weight-norm-{name}", {"v": v, "g": g, "c": c}, {"w": w}, (c * w).sum())


def trans_norm(folder):
    """As the authors' trans_norm.py, with the domains' samples alternating; and its evaluation."""
    rng = np.random.default_rng(2)
    n, c, eps = 6, 5, 1e-5
    offset = torch.tensor([0.0, 3.0, -40.0, 0.5, 1.0], dtype=torch.float64)[None, :, None, None]
    x = given(rng, n, c, 4, 3)
    x[1::2] = 1.5 * x[1::2] + offset
    x = x.float().double().requires_grad_()
    w, b = given(rng, c).requires_grad_(), given(rng, c).requires_grad_()
    residual = given(rng, n, c, 4, 3).requires_grad_()
    coefficients = given(rng, n, c, 4, 3)

    def factor(moments):
        (ms, vs), (mt, vt) = moments
        p = 1 / (1 + (ms / (vs + eps).sqrt() - mt / (vt + eps).sqrt()).abs())
        return (1 + c * p / p.sum()).detach()[None, :, None, None]

    halves = [x[d::2] for d in (0, 1)]
    moments = [(h.mean((0, 2, 3)), h.var((0, 2, 3))) for h in halves]
    z = torch.stack([F.batch_norm(h, None, None, w, b, True, 0.1, eps) for h in halves], 1)
    y = F.relu(z.reshape(x.shape) * factor(moments) + residual)
    fixed = [(given(rng, c), given(rng, c).abs() + 0.5) for _ in range(2)]
    (ms, vs), (mt, vt) = fixed
    evaluated = F.batch_norm(x, mt, vt, w, b, False, 0.1, eps) * factor(fixed)
    outputs = {"y": y, "evaluated": evaluated, "mean": torch.stack([m for m, _ in moments])}
    outputs["variance"] = torch.stack([v for _, v in moments])
    inputs = {"x": x, "weight": w, "bias": b, "residual": residual, "c": coefficients}
    inputs |= {"mean_source": ms, "variance_source": vs, "mean_target": mt, "variance_target": vt}
    save(folder, "trans-norm", inputs, outputs, (coefficients * y).sum())


def balanced_contrast(folder):
    """As the authors' BalSCL."""
    rng = np.random.default_rng(3)
    n, classes, width, t = 6, 5, 8, 0.1
    y = torch.tensor([0, 0, 1, 0, 3, 1])
    f = given(rng, 2 * n, width).requires_grad_()
    p = given(rng, classes, width).requires_grad_()
    z, centres = F.normalize(f, dim=1), F.normalize(p, dim=1)
    labels = torch.cat([y, y, torch.arange(classes)])
    held = torch.bincount(labels, minlength=classes)
    logits = z @ torch.cat([z, centres]).T / t
    itself = torch.zeros_like(logits)
    itself.fill_diagonal_(1)
    mask = (labels[: 2 * n, None] == labels[None, :]).double() * (1 - itself)
    weight = held[labels][None, :] - mask
    total = (logits.exp() * (1 - itself) / weight).sum(1, keepdim=True)
    loss = -((mask * (logits - total.log())).sum(1) / mask.sum(1)).mean()
    save(folder, "balanced-contrast", {"f": f, "p": p, "labels": labels[: 2 * n]}, {}, loss, {"temperature": t})


def write(folder):
    for part in PARTS:
        part(folder)
    print(f"{len(PARTS)} methods' parts in {folder}")


PARTS = [weight_norm, trans_norm, balanced_contrast]
