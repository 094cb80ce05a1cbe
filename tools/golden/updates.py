"""Training steps of several batches, with clipped gradients and averaged weights."""

import copy
import pathlib

import torch
import torch.nn.functional as F

from . import files, nets, runs

SETUP = {
    "model": "small",
    "norm": "nbn",
    "head": "linear",
    "steps": 5,
    "batch_size": 4,
    "accumulate": 2,
    "classes": 10,
    "momentum": 0.9,
    "weight_decay": 2e-4,
    "clip_norm": 1.0,
    "ema": 0.9,
}
SHOWN = ("linear.bias", "bn1.running_mean", "bn1.running_var", "layer3.0.bn2.weight")


def average(kept, model, decay):
    """timm's ModelEmaV2: parameters and running statistics alike."""
    with torch.no_grad():
        for old, new in zip(kept.state_dict().values(), model.state_dict().values()):
            if old.is_floating_point():
                old.copy_(decay * old + (1 - decay) * new)


def steps(init, setup, records, lr, dtype):
    """Each step's loss and norm before clipping, and some of the averages after the last step."""
    model = nets.build(setup["model"], setup["classes"], setup["norm"], setup["head"])
    model = nets.load(model, init).to(dtype).train()
    kept = copy.deepcopy(model)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=lr, momentum=setup["momentum"], weight_decay=setup["weight_decay"]
    )
    images, labels = runs.tensors(records, dtype)
    size, batches = setup["batch_size"], setup["accumulate"]
    losses, norms = [], []
    for step in range(setup["steps"]):
        optimizer.zero_grad(set_to_none=True)
        total = 0.0
        for batch in range(step * batches, (step + 1) * batches):
            rows = slice(batch * size, (batch + 1) * size)
            loss = F.cross_entropy(model(images[rows]), labels[rows]) / batches
            loss.backward()
            total += loss.item()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), setup["clip_norm"]).item())
        optimizer.step()
        average(kept, model, setup["ema"])
        losses.append(total)
    averages = {name: kept.state_dict()[name].flatten().tolist() for name in SHOWN}
    return {"lr": lr, "losses_f64": losses, "norms_f64": norms, "averages_f64": averages}


def small(out_dir):
    """The committed file: the small net on made images, from the first parameters of the trajectory `nbn`."""
    out = pathlib.Path(out_dir)
    init, _ = files.load(out / "nbn.safetensors")
    records = runs.made_records(SETUP["steps"] * SETUP["batch_size"] * SETUP["accumulate"])
    found = [steps(init, SETUP, records, lr, torch.float64) for lr in (1e-4, 0.1)]
    value = {**SETUP, "init": "nbn.safetensors", "torch": torch.__version__.split("+")[0], "runs": found}
    runs.save_json(out / "updates.json", value)
