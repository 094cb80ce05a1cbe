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


def memory(folder):
    """As the authors' MetaEmbeddingClassifier, CosNormClassifier and DiscCentroidsLoss."""
    rng = np.random.default_rng(4)
    n, classes, width = 6, 4, 5
    y = torch.tensor([0, 0, 1, 0, 3, 1])
    names = {"f": (n, width), "v": (classes, width), "a": (classes,), "u": (width, width), "b": (width,),
             "w": (classes, width), "m": (classes, width)}
    given_here = {name: given(rng, *shape).requires_grad_() for name, shape in names.items()}
    f, v, a, u, b, w, m = given_here.values()
    c, share = given(rng, n, classes), 0.3
    fixed = m.detach()
    distances = torch.norm(f[:, None] - fixed[None], 2, 2)
    reach = (10 / torch.sort(distances, 1)[0][:, :1]).expand(-1, width)
    x = reach * (f + torch.tanh(f @ u.T + b) * ((f @ v.T + a).softmax(1) @ fixed))
    norm = torch.norm(x, 2, 1, keepdim=True)
    z = 16 * (norm / (1 + norm)) * (x / norm) @ (w / torch.norm(w, 2, 1, keepdim=True)).T

    # Their backward of the first part: for the centroids the mean over a class's features and one more.
    class Attract(torch.autograd.Function):
        @staticmethod
        def forward(ctx, f, m):
            ctx.save_for_backward(f, m)
            return (f - m[y]).pow(2).sum() / 2 / n

        @staticmethod
        def backward(ctx, grad):
            f, m = ctx.saved_tensors
            counts = 1 + torch.bincount(y, minlength=classes)
            moved = torch.zeros_like(m).index_add_(0, y, m[y] - f) / counts[:, None]
            return grad * (f - m[y]) / n, grad * moved / n

    squares = f.pow(2).sum(1, keepdim=True) + m.pow(2).sum(1)[None] - 2 * f @ m.T
    squares = squares * (y[:, None] != torch.arange(classes)[None])
    repel = torch.clamp(10 - squares.sum() / (n * classes), 0.0, 1e6)
    assert 0 < repel < 10
    centroids = Attract.apply(f, m) + 0.01 * repel
    loss = (c * z).sum() + share * centroids
    save(folder, "memory", given_here | {"c": c, "labels": y}, {"z": z, "centroids": centroids.reshape(1)}, loss,
         {"share": share})


def parametric_contrast(folder):
    """As the authors' PaCoLoss, features being queries, keys and queue."""
    rng = np.random.default_rng(5)
    n, held, classes, width, t, alpha, beta = 5, 8, 4, 6, 0.05, 0.05, 0.7
    y, old = torch.tensor([0, 0, 1, 3, 0]), torch.tensor([2, 0, 0, 1, 3, 1, 0, 2])
    f, k = given(rng, n, width).requires_grad_(), given(rng, n, width)
    queue, z = given(rng, held, width, scale=0.2), given(rng, n, classes, scale=3.0).requires_grad_()
    weight = torch.tensor([50.0, 20.0, 5.0, 1.0], dtype=torch.float64)
    features = torch.cat([F.normalize(f, dim=1), F.normalize(k, dim=1), queue])
    labels = torch.cat([y, y, old])[:, None]
    mask = (labels[:n] == labels.T).double()
    dots = features[:n] @ features.T / t
    adjusted = z + torch.log(weight / weight.sum() + 1e-9)
    dots = torch.cat([adjusted, dots], 1)
    logits = dots - dots.max(1, keepdim=True)[0].detach()
    counted = torch.scatter(torch.ones_like(mask), 1, torch.arange(n)[:, None], 0)
    hot = F.one_hot(y, classes).double()
    mask = torch.cat([hot * beta, mask * counted * alpha], 1)
    counted = torch.cat([torch.ones(n, classes, dtype=torch.float64), counted], 1)
    log_p = logits - torch.log((logits.exp() * counted).sum(1, keepdim=True) + 1e-12)
    loss = -((mask * log_p).sum(1) / mask.sum(1)).mean()
    inputs = {"f": f, "z": z, "k": k, "queue": queue, "labels": y, "queue_labels": old, "counts": weight}
    save(folder, "parametric-contrast", inputs, {}, loss, {"temperature": t, "others": alpha, "centre": beta})


def write(folder):
    for part in PARTS:
        part(folder)
    print(f"{len(PARTS)} methods' parts in {folder}")


PARTS = [weight_norm, trans_norm, balanced_contrast, memory, parametric_contrast]
