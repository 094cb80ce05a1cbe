"""Training steps and logits of the reference networks, and comparisons with the engine's."""

import json
import math
import pathlib

import numpy as np
import torch
import torch.nn.functional as F

from . import files, nets

RECORD = 3073
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
SMALL = {"steps": 5, "batch_size": 8, "classes": 10, "lrs": (1e-4, 0.1), "momentum": 0.9, "weight_decay": 2e-4}


def splitmix64(x):
    """The output of splitmix64 for each state in the uint64 array x."""
    with np.errstate(over="ignore"):
        z = x + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def made_records(count, first=0):
    """CIFAR-10 records made without files: record i has label i % 10, and its pixel byte j (0..3072,
    red plane, green, blue) is the top 8 bits of splitmix64(i*3072 + j). A (count, 3073) array."""
    i = np.arange(first, first + count, dtype=np.uint64)[:, None]
    pixels = splitmix64(i * np.uint64(3072) + np.arange(3072, dtype=np.uint64)) >> np.uint64(56)
    return np.concatenate([i % np.uint64(10), pixels], axis=1).astype(np.uint8)


def read_records(paths, count=None):
    """The first `count` records of the files, in order."""
    parts, wanted = [], count
    for path in paths:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        if data.size % RECORD:
            raise SystemExit(f"{path}: {data.size} bytes are not whole records of {RECORD}")
        parts.append(data.reshape(-1, RECORD)[:wanted])
        if wanted is not None:
            wanted -= len(parts[-1])
            if wanted == 0:
                break
    records = np.concatenate(parts)
    if count is not None and len(records) < count:
        raise SystemExit(f"{count} images are needed, but there are {len(records)}")
    return records


def tensors(records, dtype):
    """(images, labels): (byte/255 − mean)/std, NCHW, computed in `dtype`."""
    images = torch.from_numpy(records[:, 1:].reshape(-1, 3, 32, 32).copy()).to(dtype) / 255
    mean, std = (torch.tensor(v, dtype=dtype).reshape(3, 1, 1) for v in (MEAN, STD))
    return (images - mean) / std, torch.from_numpy(records[:, 0].astype(np.int64))


def losses(init, setup, records, lr, dtype):
    """The loss of each step, before its update."""
    model = nets.build(setup["model"], setup["classes"], setup["norm"], setup["head"])
    model = nets.load(model, init).to(dtype).train()
    optimizer = torch.optim.SGD(
        model.parameters(), lr=lr, momentum=setup["momentum"], weight_decay=setup["weight_decay"]
    )
    images, labels = tensors(records, dtype)
    size, found = setup["batch_size"], []
    for step in range(setup["steps"]):
        rows = slice(step * size, (step + 1) * size)
        loss = F.cross_entropy(model(images[rows]), labels[rows])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return found


def trajectory(init_path, setup, records, lrs):
    """The JSON of a trajectory: the setup, and for each rate the losses in float32 and float64."""
    init, _ = files.load(init_path)
    runs = []
    for lr in lrs:
        runs.append(
            {
                "lr": lr,
                "losses": losses(init, setup, records, lr, torch.float32),
                "losses_f64": losses(init, setup, records, lr, torch.float64),
            }
        )
    return {**setup, "init": pathlib.Path(init_path).name, "torch": torch.__version__.split("+")[0], "runs": runs}


def show(found):
    """Prints the losses of a trajectory."""
    for run in found["runs"]:
        print(f"{found['model']} {found['norm']} {found['head']}, lr {run['lr']:g}")
        for i, (a, b) in enumerate(zip(run["losses"], run["losses_f64"]), 1):
            print(f"  step {i:3}  float32 {a:.7f}  float64 {b:.10f}  apart {abs(a - b) / abs(b):.1e}")


def save_json(path, value):
    """Writes JSON, a list of numbers on one line."""
    runs = ",\n".join(f"    {json.dumps(run)}" for run in value["runs"])
    head = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items() if k != "runs")
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(path).write_text(f'{{\n{head},\n  "runs": [\n{runs}\n  ]\n}}\n')


def make_init(path, model, norm, head, classes, seed):
    """Writes a network's first parameters and statistics."""
    torch.manual_seed(seed)
    found = nets.state(nets.build(model, classes, norm, head))
    files.save(path, found, {"model": model, "norm": norm, "head": head, "classes": classes, "seed": seed})
    return found


def small(out_dir):
    """The committed trajectories: the small net on made images."""
    out = pathlib.Path(out_dir)
    records = made_records(SMALL["steps"] * SMALL["batch_size"])
    for name, norm, head in (("bn", "bn", "linear"), ("nbn", "nbn", "linear"), ("nbn-lr", "nbn", "lr")):
        init = out / f"{name}.safetensors"
        make_init(init, "small", norm, head, SMALL["classes"], seed=0)
        setup = {"model": "small", "norm": norm, "head": head}
        setup |= {k: v for k, v in SMALL.items() if k != "lrs"}
        found = trajectory(init, setup, records, SMALL["lrs"])
        show(found)
        save_json(out / f"{name}.json", found)


def engine_steps(path):
    """[(step, loss, lr)] of the engine's JSON lines."""
    found = []
    for number, line in enumerate(pathlib.Path(path).read_text().splitlines(), 1):
        if not line.startswith("{"):
            continue
        try:
            event = json.loads(line)
        except ValueError as error:
            raise SystemExit(f"{path}:{number}: {error}") from None
        if event.get("event") == "step":
            found.append((event["step"], event["loss"], event.get("lr")))
    if not found:
        raise SystemExit(f"{path}: no step events; run the engine with --log-steps 1 --json")
    return sorted(found)


def compare_trajectory(engine_path, torch_path, rtol, first_rtol, lr, steps):
    """Prints the relative differences; whether all are within bounds."""
    engine = engine_steps(engine_path)
    runs = json.loads(pathlib.Path(torch_path).read_text())["runs"]
    lr = engine[0][2] if lr is None else lr
    fitting = [r for r in runs if lr is None or math.isclose(r["lr"], lr, rel_tol=1e-5)]
    if len(fitting) != 1:
        raise SystemExit(f"{torch_path}: has runs at lr {[r['lr'] for r in runs]}; the engine's lr is {lr}")
    run, first, good = fitting[0], engine[0][0], True
    print(f"{'step':>5}{'engine':>14}{'torch f32':>14}{'relative':>10}{'bound':>9}{'torch f32 to f64':>18}")
    compared = min(steps or len(run["losses"]), len(run["losses"]))
    if len(engine) < compared:
        raise SystemExit(f"{engine_path}: {len(engine)} steps, but {compared} are to be compared")
    for i in range(compared):
        step, loss, _ = engine[i]
        if step - first != i:
            raise SystemExit(f"{engine_path}: step {step} follows {engine[i - 1][0]}")
        wanted, wide = run["losses"][i], run["losses_f64"][i]
        bound = first_rtol if i == 0 else rtol
        # A loss of the engine that is not finite arrives as null.
        apart = abs(loss - wanted) / abs(wanted) if loss is not None else math.inf
        fine = apart <= bound
        good &= fine
        own = abs(wanted - wide) / abs(wide)
        text = math.nan if loss is None else loss
        print(f"{i + 1:5}{text:14.7f}{wanted:14.7f}{apart:10.1e}{bound:9.0e}{own:18.1e}{'' if fine else '  OUT'}")
    print("within bounds" if good else "OUT OF BOUNDS")
    return good


def read_logits(path):
    """Logits from a JSON list of rows, JSON {"logits": rows}, or a safetensors file's `logits`."""
    if str(path).endswith(".safetensors"):
        return files.load(path)[0]["logits"].astype(np.float64)
    value = json.loads(pathlib.Path(path).read_text())
    return np.array(value["logits"] if isinstance(value, dict) else value, dtype=np.float64)


def check_checkpoint(path, setup, records, logits_path, write_path, atol):
    """Loads a checkpoint with strict=True; compares (or writes) logits. Whether all is well."""
    found, _ = files.load(path)
    extra = sorted(name for name in found if name.startswith("optimizer."))
    found = {name: v for name, v in found.items() if name not in extra}
    model = nets.build(setup["model"], setup["classes"], setup["norm"], setup["head"])
    try:
        nets.load(model, found)
    except RuntimeError as error:
        print(error)
        return False
    print(f"{path}: {len(found)} tensors load with strict=True; {len(extra)} named optimizer.* left out")
    model.eval()
    with torch.no_grad():
        logits = model(tensors(records, torch.float32)[0]).numpy()
    if not np.isfinite(logits).all():
        print("the logits are not finite")
        return False
    if write_path:
        files.save(write_path, {"logits": logits}, {"source": "torch"})
        print(f"{len(logits)} rows of logits in {write_path}")
    if not logits_path:
        return True
    other = read_logits(logits_path)[: len(logits)]
    if other.shape != logits.shape:
        print(f"{logits_path}: logits of shape {other.shape}, but {logits.shape} are wanted")
        return False
    apart = np.abs(other - logits)
    good = bool((apart <= atol * np.maximum(1, np.abs(logits))).all())
    print(f"largest difference {apart.max():.2e} among logits up to {np.abs(logits).max():.2f}"
          f" ({'within' if good else 'NOT within'} {atol:g})")
    return good
