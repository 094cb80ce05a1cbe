#!/usr/bin/env python3
"""The PyTorch side of the engine's numerical checks. Needs torch, numpy and safetensors
(`pip install torch numpy safetensors`); the CPU build of torch is enough.

  ops                 completes golden files of single ops with PyTorch's outputs and gradients
  losses              writes the committed golden files of the long-tail losses
  methods             writes the committed golden files of norms, weights and contrastive losses
  augment             writes the committed golden file of the image operations (needs torchvision)
  imagenet            writes the committed files of the ImageNet networks (needs torchvision)
  init                writes a network's first parameters
  trajectory          the losses of training steps, in float32 and float64
  trajectory-small    the committed trajectories: a small net on images made from a formula
  updates             the committed steps of several batches, clipped, averaged
  compare-trajectory  the engine's losses beside PyTorch's
  check-checkpoint    loads the engine's checkpoint into the reference network, compares logits
  made-images         writes the formula's images as CIFAR-10 binary files

The steps of `trajectory` are those of
  evenkeel train --dataset cifar10 --data DIR --init INIT --model M --norm N --head H --imbalance 1
    --shuffle none --augment none --schedule constant --lr LR --weight-decay 2e-4 --batch-size B
    --max-steps S --log-steps 1 --json
"""

import argparse
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
GOLDEN = ROOT / "tests" / "golden"


def network_options(parser):
    parser.add_argument("--model", default="resnet20", help="resnet20, 32, 44, 56, 110 or small (default resnet20)")
    parser.add_argument("--norm", choices=("bn", "nbn"), default="bn")
    parser.add_argument("--head", choices=("linear", "lr"), default="linear")
    parser.add_argument("--classes", type=int, default=10)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads for PyTorch (default 1)")
    commands = parser.add_subparsers(dest="command", required=True)

    ops = commands.add_parser("ops", help="complete golden files of ops")
    ops.add_argument("in_dir", help="files with inputs and output gradients: `evenkeel check --export DIR`")
    ops.add_argument("out_dir", help="where the completed files go")
    ops.add_argument("--keep", default=str(GOLDEN / "ops"), help="folder of the committed subset; '' for none")
    ops.add_argument("--budget", type=int, default=1_300_000, help="bytes the committed subset may take")

    losses = commands.add_parser("losses", help="write the golden files of the losses")
    losses.add_argument("--out", default=str(GOLDEN / "losses"))

    methods = commands.add_parser("methods", help="write the golden files of methods' parts")
    methods.add_argument("--out", default=str(GOLDEN / "methods"))

    augment = commands.add_parser("augment", help="write the golden file of the image operations")
    augment.add_argument("--out", default=str(GOLDEN / "augment"))

    imagenet = commands.add_parser("imagenet", help="write the golden files of the ImageNet networks")
    imagenet.add_argument("--out", default=str(GOLDEN / "imagenet"))

    init = commands.add_parser("init", help="write a network's first parameters and statistics")
    init.add_argument("out")
    network_options(init)
    init.add_argument("--seed", type=int, default=0)

    run = commands.add_parser("trajectory", help="losses of training steps")
    run.add_argument("init")
    run.add_argument("--data", required=True, help="folder with data_batch_1.bin, ...")
    network_options(run)
    run.add_argument("--steps", type=int, default=20)
    run.add_argument("--batch-size", type=int, default=16)
    run.add_argument("--lr", type=float, nargs="+", default=[1e-4], help="one or more rates")
    run.add_argument("--momentum", type=float, default=0.9)
    run.add_argument("--weight-decay", type=float, default=2e-4)
    run.add_argument("--out", help="write JSON here")

    small = commands.add_parser("trajectory-small", help="write the committed trajectories")
    small.add_argument("--out", default=str(GOLDEN / "trajectory"))

    updates = commands.add_parser("updates", help="write the committed steps of several batches, clipped, averaged")
    updates.add_argument("--out", default=str(GOLDEN / "trajectory"))

    compare = commands.add_parser("compare-trajectory", help="the engine's losses beside PyTorch's")
    compare.add_argument("engine", help="the engine's JSON lines (--json --log-steps 1)")
    compare.add_argument("torch", help="JSON of `trajectory`")
    compare.add_argument("--rtol", type=float, default=1e-3, help="relative bound from step 2 on")
    compare.add_argument("--first-rtol", type=float, default=1e-5, help="relative bound at step 1")
    compare.add_argument("--lr", type=float, help="which run of the JSON (default: the engine's rate)")
    compare.add_argument("--steps", type=int, help="compare only the first steps")

    check = commands.add_parser("check-checkpoint", help="load the engine's checkpoint, compare logits",
                                description="Tensors named optimizer.* are left out; any other that the reference "
                                "network does not have is an error (strict=True), as is one that is missing.")
    check.add_argument("checkpoint")
    network_options(check)
    check.add_argument("--images", required=True, help="folder with test_batch.bin, or a file of CIFAR-10 records")
    check.add_argument("--count", type=int, default=64, help="how many images (default 64)")
    check.add_argument("--logits", help="the engine's logits: JSON rows, or safetensors with `logits`")
    check.add_argument("--write-logits", help="write PyTorch's logits to this safetensors file")
    check.add_argument("--atol", type=float, default=1e-4, help="bound, times |logit| where that is above 1")

    made = commands.add_parser("made-images", help="write images from a formula as CIFAR-10 binary files",
                               description="Record i: label i %% 10, pixel byte j the top 8 bits of "
                               "splitmix64(i*3072 + j). data_batch_k.bin holds records (k−1)·N to k·N − 1, "
                               "test_batch.bin the next N.")
    made.add_argument("out_dir")
    made.add_argument("--per-file", type=int, default=10_000)
    return parser.parse_args()


def main():
    args = arguments()
    try:
        import torch
        from golden import augment, imagenet, losses, methods, nets, ops, runs, teachers, updates
    except ImportError as error:
        sys.exit(f"{error}; `pip install torch numpy safetensors` brings it")
    torch.set_num_threads(args.threads)
    if getattr(args, "model", "small") not in nets.MODELS:
        sys.exit(f"unknown model {args.model}; known: {', '.join(nets.MODELS)}")

    if args.command == "ops":
        ops.complete(args.in_dir, args.out_dir, args.keep, args.budget)
    elif args.command == "losses":
        losses.write(args.out)
        losses.write_experts(args.out)
        teachers.write(args.out)
        teachers.write_tlc(args.out)
        teachers.write_ace(args.out)
    elif args.command == "methods":
        methods.write(args.out)
    elif args.command == "augment":
        augment.write(args.out)
    elif args.command == "imagenet":
        imagenet.write(pathlib.Path(args.out))
    elif args.command == "init":
        found = runs.make_init(args.out, args.model, args.norm, args.head, args.classes, args.seed)
        print(f"{len(found)} tensors, {sum(v.size for v in found.values())} numbers in {args.out}")
    elif args.command == "trajectory":
        paths = [pathlib.Path(args.data) / f"data_batch_{i}.bin" for i in range(1, 6)]
        records = runs.read_records(paths, args.steps * args.batch_size)
        keys = ("model", "norm", "head", "classes", "steps", "batch_size", "momentum", "weight_decay")
        found = runs.trajectory(args.init, {k: getattr(args, k) for k in keys}, records, args.lr)
        runs.show(found)
        if args.out:
            runs.save_json(args.out, found)
    elif args.command == "trajectory-small":
        runs.small(args.out)
    elif args.command == "updates":
        updates.small(args.out)
    elif args.command == "compare-trajectory":
        same = runs.compare_trajectory(args.engine, args.torch, args.rtol, args.first_rtol, args.lr, args.steps)
        sys.exit(0 if same else 1)
    elif args.command == "check-checkpoint":
        path = pathlib.Path(args.images)
        records = runs.read_records([path / "test_batch.bin" if path.is_dir() else path], args.count)
        setup = {k: getattr(args, k) for k in ("model", "norm", "head", "classes")}
        good = runs.check_checkpoint(args.checkpoint, setup, records, args.logits, args.write_logits, args.atol)
        sys.exit(0 if good else 1)
    elif args.command == "made-images":
        out = pathlib.Path(args.out_dir)
        out.mkdir(parents=True, exist_ok=True)
        names = [f"data_batch_{k}.bin" for k in range(1, 6)] + ["test_batch.bin"]
        for i, name in enumerate(names):
            (out / name).write_bytes(runs.made_records(args.per_file, i * args.per_file).tobytes())
        print(f"{len(names)} files of {args.per_file} records in {out}")


if __name__ == "__main__":
    main()
