"""evenkeel on other Vulkan implementations: every case of `check`, a measured training step, and 20 steps of
training whose losses PyTorch's golden files hold. What ran is told by the program, not assumed."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from . import place

NAMES = ("system", "mesa25", "swiftshader")
TRAJECTORY_NAMES = ("bn", "nbn", "nbn-lr")
TRAJECTORIES = place.ROOT / "tests" / "golden" / "trajectory"
STEPS = 20
BOUND = 1e-3


def program():
    return place.ROOT / "target" / "release" / ("evenkeel.exe" if os.name == "nt" else "evenkeel")


def evenkeel(*args, **environment):
    """The program's JSON lines."""
    done = subprocess.run([str(program()), *map(str, args)], capture_output=True, text=True,
                          env={**os.environ, **environment})
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("{", "["))]
    if done.returncode not in (0, 1) or not lines:
        sys.exit(f"portability: evenkeel {args[0]}: exit {done.returncode}: {done.stderr.strip()[-600:]}")
    return lines


def made_record(i):
    """Record i of the images made from a formula (docs/golden.md), in CIFAR-10's layout."""
    mask, pixels = (1 << 64) - 1, bytearray()
    for x in range(i * 3072, (i + 1) * 3072):
        z = (x + 0x9E3779B97F4A7C15) & mask
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        pixels.append((z ^ (z >> 31)) >> 56)
    return bytes([i % 10]) + bytes(pixels)


def made_images(folder, records):
    each = records // 5
    for k in range(6):
        name = f"data_batch_{k + 1}.bin" if k < 5 else "test_batch.bin"
        (folder / name).write_bytes(b"".join(made_record(i) for i in range(k * each, (k + 1) * each)))


def pytorch(name):
    """PyTorch's 20 losses and the run they are of."""
    torch = json.loads((TRAJECTORIES / f"{name}-{STEPS}.json").read_text(encoding="utf-8"))
    return torch, torch["runs"][0]


def trajectory(name, images, environment, *more):
    """The engine's losses beside PyTorch's; `more` are further arguments."""
    torch, run = pytorch(name)
    with tempfile.TemporaryDirectory() as out:
        events = evenkeel("train", "--dataset", "cifar10", "--data", images, "--init", TRAJECTORIES / torch["init"],
                          "--model", torch["model"], "--norm", torch["norm"], "--head", torch["head"],
                          "--imbalance", 1, "--shuffle", "none", "--augment", "none", "--schedule", "constant",
                          "--lr", run["lr"], "--weight-decay", torch["weight_decay"], "--batch-size",
                          torch["batch_size"], "--max-steps", STEPS, "--log-steps", 1, "--json",
                          "--out", out, *more, **environment)
    return beside_pytorch(name, [e["loss"] for e in events if e.get("event") == "step"])


def beside_pytorch(name, found):
    """Losses beside PyTorch's in float64, and the worst relative error."""
    expected = pytorch(name)[1]["losses_f64"]
    if len(found) != len(expected):
        sys.exit(f"portability: {len(found)} losses instead of {len(expected)}")
    return {"losses": found, "worst": max(abs(a - b) / abs(b) for a, b in zip(found, expected))}


def run(name):
    """Runs everything on the implementation `name`; what was found, also kept for the page."""
    environment = {} if name == "system" else place.driver(name)
    if environment is None:
        return None
    devices = evenkeel("devices", "--json", **environment)[0]
    if not devices:
        return None
    found = {"name": name, "device": f"{devices[0]['name']}, {devices[0]['driver_info'] or devices[0]['driver']}", "about": devices[0]}
    print(f"portability: {name}: {found['device']}: check", file=sys.stderr)
    found["check"] = evenkeel("check", "--json", **environment)
    print(f"portability: {name}: training", file=sys.stderr)
    found["step"] = evenkeel("bench", "step", "--model", "small", "--batch-size", 8, "--rounds", 1, "--profiles", 1,
                             "--json", **environment)[0]
    with tempfile.TemporaryDirectory() as folder:
        made_images(pathlib.Path(folder), STEPS * 8)
        found["trajectories"] = {n: trajectory(n, folder, environment) for n in TRAJECTORY_NAMES}
    place.RESULTS.mkdir(parents=True, exist_ok=True)
    (place.RESULTS / f"run-{name}.json").write_text(json.dumps(found), encoding="utf-8")
    return found


def kept(name):
    """What an earlier run found, or None."""
    store = place.RESULTS / f"run-{name}.json"
    return json.loads(store.read_text(encoding="utf-8")) if store.exists() else None


def kernels(found):
    """The kernels that ran, as `Launch::form` tells them."""
    return {form for part in (*found["check"], found["step"]) for form in part["kernels_made"]}


def failures(found):
    """In words, what was off."""
    wrong = [f"{c['op']} {c['variant']}: {c['failed']} of {c['cases']} cases: {c['worst']}"
             for c in found["check"] if c["failed"]]
    wrong += [f"training {n}: losses {t['worst']:.1e} off PyTorch's, over {BOUND}"
              for n, t in found["trajectories"].items() if not t["worst"] <= BOUND]
    return wrong


def apart(runs):
    """The largest relative distance between the losses of two implementations."""
    worst = 0.0
    for name in TRAJECTORY_NAMES:
        for losses in zip(*(r["trajectories"][name]["losses"] for r in runs)):
            worst = max(worst, (max(losses) - min(losses)) / min(losses))
    return worst
