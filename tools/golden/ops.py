"""Completes golden files of ops: outputs and gradients from PyTorch in float64, stored as float32."""

import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from . import files


def batch_norm(x, running_mean, running_var, weight=None, bias=None, **attrs):
    """F.batch_norm, and the running statistics after it."""
    mean, var = running_mean.clone(), running_var.clone()
    return F.batch_norm(x, mean, var, weight, bias, **attrs), mean, var


def normalized_batch_norm(x, running_mean, running_var, gamma, beta, alpha, norm_eps=1e-6, **attrs):
    """w = α·γ/(‖γ‖ + ε), b = α·β/(‖β‖ + ε), then batch norm; α is entry 0 of its vector."""
    scale = alpha.reshape(-1)[0]
    weight = gamma / (gamma.norm() + norm_eps) * scale
    bias = beta / (beta.norm() + norm_eps) * scale
    return batch_norm(x, running_mean, running_var, weight, bias, **attrs)


def shortcut_a(x, planes, stride=2):
    """Every stride-th row and column; zero channels before and after."""
    pad = (planes - x.shape[1]) // 2
    return F.pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, pad, pad))


def cross_entropy(x, target, weight=None, logit_offset=None, **attrs):
    """F.cross_entropy of x + logit_offset."""
    x = x if logit_offset is None else x + logit_offset
    return F.cross_entropy(x, target, weight, **attrs)


def stirling_rest(x):
    """log Γ(x) less Stirling's formula."""
    return torch.lgamma(x) - (x - 0.5) * torch.log(x) + x - 0.5 * math.log(2 * math.pi)


OPS = {
    "conv2d": F.conv2d,
    "linear": F.linear,
    "matmul": torch.matmul,
    "batch_norm": batch_norm,
    "normalized_batch_norm": normalized_batch_norm,
    "relu": F.relu,
    "abs": torch.abs,
    "digamma_rest": lambda x: torch.log(x) - torch.digamma(x),
    "exp": torch.exp,
    "gelu": F.gelu,
    "log": torch.log,
    "neg": torch.neg,
    "reciprocal": torch.reciprocal,
    "sigmoid": torch.sigmoid,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros_like(x)),
    "sqrt": torch.sqrt,
    "square": torch.square,
    "stirling_rest": stirling_rest,
    "tanh": torch.tanh,
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "max_pool2d": F.max_pool2d,
    "avg_pool2d": F.avg_pool2d,
    "global_avg_pool": lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
    "softmax": lambda x, dim=-1: F.softmax(x, dim),
    "log_softmax": lambda x, dim=-1: F.log_softmax(x, dim),
    "cross_entropy": cross_entropy,
    "sum": torch.sum,
    "mean": torch.mean,
    "reshape": torch.reshape,
    "rows": lambda x, count, first=0: x.narrow(0, first, count),
    "shortcut_a": shortcut_a,
}

# Inputs that never get a gradient.
FIXED = {"batch_norm": {1, 2}, "normalized_batch_norm": {1, 2}, "cross_entropy": {1, 2, 3}}

# What is committed: every op's small cases, and these whatever their size is.
SMALL_BYTES = 6_000
ALWAYS = {
    "conv2d/small_8_32x32",
    "conv2d/3x3_no_tile_fits",
    "batch_norm/channels_2048",
    "cross_entropy/3x1000",
    "global_avg_pool/odd",
}


def evaluate(op, attrs, inputs, grad_outs, dtype):
    """([outputs], {input number: gradient}) as numpy arrays of `dtype`."""
    arguments = []
    for i, array in inputs.items():
        value = torch.from_numpy(np.array(array))
        if value.is_floating_point():
            value = value.to(dtype)
            value.requires_grad_(bool(grad_outs) and i not in FIXED.get(op, ()))
        arguments.append(value)
    # torch.sum and torch.mean take keepdim only beside dim
    if op in ("sum", "mean") and attrs.get("keepdim") and "dim" not in attrs:
        attrs = {**attrs, "dim": list(range(arguments[0].dim()))}
    outputs = OPS[op](*arguments, **attrs)
    outputs = list(outputs) if isinstance(outputs, tuple) else [outputs]
    grads = {}
    if grad_outs:
        seeds = [torch.from_numpy(np.array(grad_outs[i])).to(dtype) for i in grad_outs]
        wanted = {i: a for i, a in enumerate(arguments) if a.requires_grad}
        found = torch.autograd.grad([outputs[i] for i in grad_outs], list(wanted.values()), seeds)
        grads = {i: g.numpy() for i, g in zip(wanted, found)}
    return [o.detach().numpy() for o in outputs], grads


def share(expected, found, rtol, atol):
    """The largest error as a share of what the tolerance allows, infinities and NaN aside."""
    with np.errstate(all="ignore"):
        error = np.abs(expected - found) / (atol + rtol * np.abs(expected))
    both = np.isfinite(expected) & np.isfinite(found)
    return float(error[both].max(initial=0.0))


def complete(in_dir, out_dir, keep_dir, budget):
    """Completes every file of `in_dir`; returns the committed bytes."""
    paths = sorted(pathlib.Path(in_dir).glob("*.safetensors"))
    if not paths:
        raise SystemExit(f"{in_dir}: no .safetensors files; `evenkeel check --export DIR` makes them")
    table, kept = {}, 0
    if keep_dir:
        for old in pathlib.Path(keep_dir).glob("*.safetensors"):
            old.unlink()
    for path in paths:
        tensors, meta = files.load(path)
        op, attrs = meta["op"], json.loads(meta["attrs"])
        inputs, grad_outs = files.numbered(tensors, "in"), files.numbered(tensors, "grad_out")
        outputs, grads = evaluate(op, attrs, inputs, grad_outs, torch.float64)
        with np.errstate(over="ignore"):
            tensors.update({f"out.{i}": o.astype(np.float32) for i, o in enumerate(outputs)})
            tensors.update({f"grad_in.{i}": g.astype(np.float32) for i, g in grads.items()})
        meta["source"] = f"torch {torch.__version__.split('+')[0]} float64"
        files.save(pathlib.Path(out_dir) / path.name, tensors, meta)

        # PyTorch's own float32 against its float64: what a tolerance must at least allow
        outputs32, grads32 = evaluate(op, attrs, inputs, grad_outs, torch.float32)
        out_share = max(
            share(a, b, float(meta["rtol"]), float(meta["atol"])) for a, b in zip(outputs, outputs32)
        )
        grad_share = max(
            [share(grads[i], grads32[i], float(meta["grad_rtol"]), float(meta["grad_atol"])) for i in grads],
            default=0.0,
        )
        name = meta.get("name", path.stem)
        if max(out_share, grad_share) > 0.25:
            print(f"  {name}: PyTorch's float32 uses {out_share:.2f} of the tolerance (gradients {grad_share:.2f})")
        row = table.setdefault(op, [0, 0, 0.0, 0.0])
        row[0] += 1
        row[2], row[3] = max(row[2], out_share), max(row[3], grad_share)

        size = sum(array.nbytes for array in tensors.values())
        if keep_dir and (size <= SMALL_BYTES or name in ALWAYS):
            target = pathlib.Path(keep_dir) / path.name
            files.save(target, tensors, meta)
            kept += target.stat().st_size
            row[1] += 1
    print(f"{'op':24}{'cases':>6}{'kept':>6}   float32's share of the tolerance: outputs, gradients")
    for op, (cases, small, out_share, grad_share) in sorted(table.items()):
        print(f"{op:24}{cases:6}{small:6}   {out_share:.3f}  {grad_share:.3f}")
    print(f"{len(paths)} files in {out_dir}; {kept} bytes in {keep_dir}")
    if kept > budget:
        raise SystemExit(f"the committed set is {kept} bytes, more than {budget}")
