"""evenkeel on other Vulkan implementations: every case of `check`, a measured training step, and 20 steps of
training whose losses PyTorch's golden files hold. What ran is told by the program, not assumed.

Dawn has no engine in it: it replays what the engine recorded (dawn.py). DX12 is evenkeel.exe under Wine (dx12.py).
"""

import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

from . import place

NAMES = ("system", "mesa25", "swiftshader")
# The system's lavapipe with vectors of so many bits, and so with subgroups of 16 and of 4.
VECTORS = {"subgroups-16": "512", "subgroups-4": "128"}
# Replays on Dawn, by the Vulkan driver below; DX12 under Wine. Minutes each.
DAWN = {"dawn": "mesa25", "dawn-swiftshader": "swiftshader"}
ALL = (*NAMES, *VECTORS, *DAWN, "dx12")
TRAJECTORY_NAMES = ("bn", "nbn", "nbn-lr")
TRAJECTORIES = place.ROOT / "tests" / "golden" / "trajectory"
STEPS = 20
BOUND = 1e-3


def program():
    return place.ROOT / "target" / "release" / ("evenkeel.exe" if os.name == "nt" else "evenkeel")


@contextlib.contextmanager
def host(name):
    """The command that runs the engine on an implementation and its environment, or None where it is absent."""
    if name == "dx12":
        from . import dx12

        if dx12.missing():
            print(f"dx12: needs {dx12.missing()}")
            yield None
            return
        with dx12.host() as made:
            yield made
        return
    if name in VECTORS:
        environment = {"LP_NATIVE_VECTOR_WIDTH": VECTORS[name]}
    else:
        environment = {} if name == "system" else place.driver(name)
    yield None if environment is None else ([str(program())], environment)


def evenkeel(host, *args):
    """The JSON lines of the program on a host."""
    command, environment = host
    done = subprocess.run([*command, *map(str, args)], capture_output=True, text=True, errors="replace",
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


def trajectory(name, images, host, *more):
    """The engine's losses beside PyTorch's; `more` are further arguments."""
    torch, run = pytorch(name)
    with tempfile.TemporaryDirectory() as out:
        events = evenkeel(host, "train", "--dataset", "cifar10", "--data", images, "--init", TRAJECTORIES / torch["init"],
                          "--model", torch["model"], "--norm", torch["norm"], "--head", torch["head"],
                          "--imbalance", 1, "--shuffle", "none", "--augment", "none", "--schedule", "constant",
                          "--lr", run["lr"], "--weight-decay", torch["weight_decay"], "--batch-size",
                          torch["batch_size"], "--max-steps", STEPS, "--log-steps", 1, "--json",
                          "--out", out, *more)
    return beside_pytorch(name, [e["loss"] for e in events if e.get("event") == "step"])


def beside_pytorch(name, found):
    """Losses beside PyTorch's in float64, and the worst relative error."""
    expected = pytorch(name)[1]["losses_f64"]
    if len(found) != len(expected):
        sys.exit(f"portability: {len(found)} losses instead of {len(expected)}")
    return {"losses": found, "worst": max(abs(a - b) / abs(b) for a, b in zip(found, expected))}


def ops():
    """The names of the ops that `check` has: small cases first, convolutions last."""
    last = ["linear", "matmul", "conv2d"]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([str(program()), "check", "--export", folder], check=True, stdout=subprocess.DEVNULL)
        names = {file.name.partition(".")[0] for file in pathlib.Path(folder).iterdir()}
    return sorted(names, key=lambda op: (last.index(op) if op in last else -1, op))


def check(host, seconds):
    """`check`, all of it, or op by op until `seconds` are over; what it said, and the ops that were left."""
    if seconds is None:
        return evenkeel(host, "check", "--json"), []
    found, left, end = [], ops(), time.monotonic() + seconds
    while left and time.monotonic() < end:
        found += evenkeel(host, "check", "--json", "--op", left[0])
        print(f"portability: check of {left.pop(0)}, {len(left)} ops left", file=sys.stderr, flush=True)
    return found, left


def run(name, minutes=None):
    """Runs everything on the implementation `name`; what was found, also kept for the page. After `minutes`
    DX12 begins no further op of `check`."""
    if name in DAWN:
        from . import dawn

        found = dawn.run(name, DAWN[name])
    else:
        with host(name) as made:
            found = made and measured(name, made, minutes)
    if found:
        place.RESULTS.mkdir(parents=True, exist_ok=True)
        (place.RESULTS / f"run-{name}.json").write_text(json.dumps(found), encoding="utf-8")
    return found


def measured(name, host, minutes):
    devices = evenkeel(host, "devices", "--json")[0]
    if not devices:
        return None
    about = devices[0]
    # Wine calls every adapter by the name of a card.
    device = ("FXC, vkd3d, lavapipe of Mesa 25 under Wine" if name == "dx12" else
              f"{about['name']}, {about['driver_info'] or about['driver']}")
    found = {"name": name, "device": device, "about": about}
    print(f"portability: {name}: {device}: training", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        made_images(pathlib.Path(folder), STEPS * 8)
        found["trajectories"] = {n: trajectory(n, folder, host) for n in TRAJECTORY_NAMES}
    found["step"] = evenkeel(host, "bench", "step", "--model", "small", "--batch-size", 8, "--rounds", 1, "--profiles", 1,
                             "--json")[0]
    print(f"portability: {name}: check", file=sys.stderr)
    found["check"], found["left"] = check(host, minutes * 60 if name == "dx12" else None)
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
