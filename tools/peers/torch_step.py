#!/usr/bin/env python3
"""Times PyTorch on the work that `evenkeel bench` times: one JSON line per case.

  torch_step.py                          every case, on the CPU and, where there is one, a CUDA device
  torch_step.py --device cpu --threads 2 --batch 32 --repeats 15 step bn
  torch_step.py --device cpu --batch 4 --norm bn --recompute resnet50
Cases: step (a ResNet-32 training step), bn, conv, ce, matmul; and, where named, resnet50 (a step at 224×224).
Needs torch, for resnet50 torchvision too.

On CUDA every case runs in float32 without TF32 and with it; the step also under float16 autocast with
loss scaling (amp) and under torch.compile (without TF32 and with it). A time is the median over
`repeats` of a group of calls ended by a device synchronization, divided by the calls in it; `min_ms`
is the best group.
"""

import argparse
import functools
import json
import math
import pathlib
import statistics
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))

CASES = ("step", "bn", "conv", "ce", "matmul")
LARGE = "resnet50"  # only where named: a step takes seconds


class Clock:
    """Times calls and prints what it found."""

    def __init__(self, torch, device, repeats, threads):
        self.torch, self.device, self.repeats, self.threads = torch, device, repeats, threads
        self.name = torch.cuda.get_device_name() if device == "cuda" else "cpu"

    def wait(self):
        if self.device == "cuda":
            self.torch.cuda.synchronize()

    def group(self, call, times):
        start = time.perf_counter()
        for _ in range(times):
            call()
        self.wait()
        return (time.perf_counter() - start) * 1e3 / times

    def time(self, case, mode, call, **about):
        try:
            first = self.group(call, 1)
            if first < 1000:  # what takes seconds is warm after one call
                self.group(call, 3)
            # groups of about 20 ms, so that the clock's own cost vanishes
            calls = max(1, min(200, int(20 / max(self.group(call, 1), 1e-3))))
            found = [self.group(call, calls) for _ in range(self.repeats)]
        except Exception as error:  # a mode that this machine lacks must not end the run
            text = str(error).strip().splitlines() or [type(error).__name__]
            print(json.dumps({"case": case, "mode": mode, "device": self.name, "error": text[0][:200]}), flush=True)
            return
        line = {
            "case": case,
            "mode": mode,
            "device": self.name,
            "threads": self.threads if self.device == "cpu" else None,
            "median_ms": round(statistics.median(found), 5),
            "min_ms": round(min(found), 5),
            "first_ms": round(first, 2),
            "repeats": self.repeats,
            "calls": calls,
            "torch": self.torch.__version__,
        }
        print(json.dumps({**line, **about}), flush=True)


def step(torch, clock, mode, batch, norm):
    """A training step of ResNet-32: forward, loss, backward, SGD with momentum and weight decay."""
    from golden import nets

    torch.manual_seed(0)
    device = clock.device
    model = nets.build("resnet32", 100, norm, "linear").to(device).train()
    x = torch.randn(batch, 3, 32, 32, device=device)
    t = (torch.arange(batch, device=device) * 37) % 100
    call = training(torch, clock, mode, model, (x, t), 2e-4)
    clock.time(f"resnet32_step_{norm}_b{batch}", mode, call, batch=batch)


def resnet50(torch, clock, mode, batch, norm, recompute):
    """A training step of torchvision's ResNet-50. With NBN, the norms that end the last stage's blocks are
    normalized, its shortcut's too; with `recompute`, of each block only what comes in is kept, and the
    rest is computed again for the gradient."""
    from torch.utils.checkpoint import checkpoint
    from torchvision import models

    torch.manual_seed(0)
    device = clock.device
    model = models.resnet50()
    if norm == "nbn":
        normalize_last_stage(torch, model)
    parameters = sum(p.numel() for p in model.parameters())
    assert parameters == 25_557_032 + (4 if norm == "nbn" else 0), parameters
    model = model.to(device).train()
    if recompute:
        for block in (*model.layer1, *model.layer2, *model.layer3, *model.layer4):
            block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
    x = torch.randn(batch, 3, 224, 224, device=device)
    t = (torch.arange(batch, device=device) * 37) % 1000
    call = training(torch, clock, mode, model, (x, t), 5e-4)

    def checked():
        loss = call().item()
        assert math.isfinite(loss), loss

    name = f"resnet50_step_{norm}{'_recompute' if recompute else ''}_b{batch}"
    clock.time(name, mode, checked, batch=batch, parameters=parameters)


def normalize_last_stage(torch, model):
    """Makes the norms that end the last stage's blocks NBN with one α, the first of `scale_factor`."""
    from golden.nets import NormalizedBatchNorm2d

    class Normalized(NormalizedBatchNorm2d):
        def forward(self, x):
            return super().forward(x, self.scale_factor[0])

    scale_factor = torch.nn.Parameter(torch.ones(4))

    def normalized(norm):
        made = Normalized(norm.num_features)
        made.scale_factor = scale_factor
        return made

    for block in model.layer4:
        block.bn3 = normalized(block.bn3)
    model.layer4[0].downsample[1] = normalized(model.layer4[0].downsample[1])


def training(torch, clock, mode, model, data, decay):
    """A call that does a step of `model` on the images and labels of `data` and gives its loss."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=decay)
    net = torch.compile(model) if mode.startswith("compile") else model
    scaler = torch.amp.GradScaler(clock.device) if mode == "amp" else None
    x, t = data

    def call():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(clock.device, torch.float16, enabled=scaler is not None):
            loss = torch.nn.functional.cross_entropy(net(x), t)
        if scaler is None:
            loss.backward()
            optimizer.step()
        else:
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        return loss

    return call


def bn(torch, clock, mode):
    """BN and NBN, forward and backward, in training."""
    device = clock.device
    x = torch.randn(32, 64, 32, 32, device=device, requires_grad=True)
    seed = torch.randn(32, 64, 32, 32, device=device)
    gamma = (torch.rand(64, device=device) + 0.5).requires_grad_()
    beta = torch.randn(64, device=device).requires_grad_()
    alpha = torch.ones(1, device=device).requires_grad_()
    mean, var = torch.zeros(64, device=device), torch.ones(64, device=device)

    def plain():
        y = torch.nn.functional.batch_norm(x, mean, var, gamma, beta, True)
        torch.autograd.grad(y, (x, gamma, beta), seed)

    def normalized():
        w, b = gamma / (gamma.norm() + 1e-6) * alpha[0], beta / (beta.norm() + 1e-6) * alpha[0]
        y = torch.nn.functional.batch_norm(x, mean, var, w, b, True)
        torch.autograd.grad(y, (x, gamma, beta, alpha), seed)

    clock.time("bn_fwd_bwd_32x64x32x32", mode, plain)
    clock.time("nbn_fwd_bwd_32x64x32x32", mode, normalized)


def conv(torch, clock, mode):
    """3×3 convolutions of a ResNet-32 at batch 128: forward and each backward alone."""
    device, aten = clock.device, torch.ops.aten
    for n, c, size in ((128, 16, 32), (128, 32, 16), (128, 64, 8)):
        x, w = torch.randn(n, c, size, size, device=device), torch.randn(c, c, 3, 3, device=device)
        g = torch.randn_like(x)
        flops = 2 * n * c * c * 9 * size * size

        def backward(mask, x=x, w=w, g=g):
            return aten.convolution_backward(g, x, w, None, [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask)

        where = f"{n}x{c}x{size}x{size}"
        forward = lambda x=x, w=w: torch.nn.functional.conv2d(x, w, None, 1, 1)  # noqa: E731
        clock.time(f"conv3x3_fwd_{where}", mode, forward, flops=flops)
        clock.time(f"conv3x3_bwd_data_{where}", mode, lambda: backward([True, False, False]), flops=flops)
        clock.time(f"conv3x3_bwd_weight_{where}", mode, lambda: backward([False, True, False]), flops=flops)


def ce(torch, clock, mode):
    """Softmax cross-entropy, forward and backward."""
    x = torch.randn(128, 1000, device=clock.device, requires_grad=True)
    t = (torch.arange(128, device=clock.device) * 37) % 1000

    def call():
        torch.autograd.grad(torch.nn.functional.cross_entropy(x, t), (x,))

    clock.time("softmax_ce_fwd_bwd_128x1000", mode, call)


def matmul(torch, clock, mode):
    """A product of two 512×512 matrices."""
    a, b = torch.randn(512, 512, device=clock.device), torch.randn(512, 512, device=clock.device)
    clock.time("matmul_512x512x512", mode, lambda: a @ b, flops=2 * 512**3)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=f"of {', '.join(CASES)} (default: these), {LARGE}")
    parser.add_argument("--device", choices=("cpu", "cuda", "both"), default="both")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (default 2)")
    parser.add_argument("--batch", type=int, nargs="+", help="batches of the step (default 32 128; resnet50: 4)")
    parser.add_argument("--norm", nargs="+", choices=("bn", "nbn"), default=["bn", "nbn"], help="norms of the step")
    parser.add_argument("--recompute", action="store_true", help="resnet50: blocks computed again for the gradient")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    args = parser.parse_args()
    wanted = args.cases or CASES
    if wrong := [c for c in wanted if c not in (*CASES, LARGE)]:
        parser.error(f"unknown case {wrong[0]}; known: {', '.join((*CASES, LARGE))}")
    try:
        import torch
    except ImportError as error:
        sys.exit(f"{error}; `pip install torch numpy safetensors` brings it")
    torch.set_num_threads(args.threads)
    devices = ["cpu"] if args.device in ("cpu", "both") else []
    if args.device != "cpu" and torch.cuda.is_available():
        devices.append("cuda")
    elif args.device == "cuda":
        sys.exit("no CUDA device")

    for device in devices:
        clock = Clock(torch, device, args.repeats, args.threads)
        for mode in ("fp32", "tf32") if device == "cuda" else ("fp32",):
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = mode == "tf32"
            for run in (bn, conv, ce, matmul):
                if run.__name__ in wanted:
                    run(torch, clock, mode)
        modes = ["fp32"]
        if device == "cuda":
            modes += ["tf32", "amp"] + ([] if args.no_compile else ["compile", "compile-tf32"])
        for mode in modes:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = "32" in mode and mode != "fp32"
            if "step" in wanted:
                for batch in args.batch or (32, 128):
                    for norm in args.norm:
                        step(torch, clock, mode, batch, norm)
            if LARGE in wanted:
                for batch in args.batch or (4,):
                    for norm in args.norm:
                        resnet50(torch, clock, mode, batch, norm, args.recompute)


if __name__ == "__main__":
    main()
