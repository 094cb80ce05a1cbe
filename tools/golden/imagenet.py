"""torchvision's ImageNet ResNets, and RIDE's of three experts, with weights and images made from a formula: names,
logits, losses.

Nothing but the results is committed; `tests/imagenet.rs` makes the same weights and images.
"""

import json
import zlib

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from .nets import NORM_EPS

MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
CLASSES = 7


def noise(name, count):
    """Hashes of 0..count as numbers in [-1, 1), a different series for each name."""
    h = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(zlib.crc32(name.encode()))
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        h = (h ^ (h >> np.uint32(shift))) * np.uint32(factor)
    h ^= h >> np.uint32(16)
    return h.astype(np.float64) / 2**31 - 1.0


def start(name, shape):
    """A tensor's first values."""
    values = noise(name, int(np.prod(shape))).reshape(shape)
    if name.endswith("running_var"):
        return 1.0 + 0.5 * values
    if name == "scale_factor":
        return np.full(shape, 1.5)
    if name.endswith(("bias", "running_mean")):
        return 0.1 * values
    if len(shape) == 1:
        return 0.75 + 0.25 * values
    fan = shape[0] * int(np.prod(shape[2:])) if len(shape) == 4 else 6 * shape[1]
    return values * (6.0 / fan) ** 0.5


class Normalized(nn.BatchNorm2d):
    """y = w·x̂ + b with w = α·γ/(‖γ‖ + 1e-6), b = α·β/(‖β‖ + 1e-6); α is `net`'s."""

    def __init__(self, channels, net):
        super().__init__(channels)
        self.alpha = lambda: net.scale_factor[0]

    def forward(self, x):
        weight = self.weight / (self.weight.norm() + NORM_EPS) * self.alpha()
        bias = self.bias / (self.bias.norm() + NORM_EPS) * self.alpha()
        return F.batch_norm(
            x, self.running_mean, self.running_var, weight, bias, self.training, self.momentum, self.eps
        )


class Expert(nn.Module):
    """RIDE's later stages at three quarters of their width, and a cosine classifier (`NormedLinear`, s = 30)."""

    def __init__(self, make, inplanes, layers):
        super().__init__()
        self.layer3 = make(inplanes, 192, layers[2])
        self.layer4 = make(4 * 192, 384, layers[3])
        self.fc = nn.Linear(4 * 384, CLASSES, bias=False)

    def forward(self, x):
        x = self.layer4(self.layer3(x)).mean((2, 3))
        return 30.0 * F.linear(F.normalize(x, dim=1), F.normalize(self.fc.weight, dim=1))


class Ride(nn.Module):
    """RIDE's ResNet-50 for ImageNet-LT (Wang et al., 2021; `reduce_dimension`, `use_norm`): stem and two stages are
    common. The first expert's parameters are named as the plain network's. Training gives each expert's logits,
    evaluation their mean."""

    def __init__(self, net, layers, experts):
        super().__init__()
        self.conv1, self.bn1, self.layer1, self.layer2 = net.conv1, net.bn1, net.layer1, net.layer2
        self.maxpool = net.maxpool

        def make(inplanes, planes, blocks):
            net.inplanes = inplanes
            return net._make_layer(type(net.layer1[0]), planes, blocks, stride=2)

        each = [Expert(make, 512, layers) for _ in range(experts)]
        # In this module's dict only, so that its names are not told twice.
        self.layer3, self.layer4, self.fc = each[0].layer3, each[0].layer4, each[0].fc
        self.experts = nn.ModuleDict({str(e): each[e] for e in range(1, experts)})
        self.__dict__["first"] = each[0]

    def forward(self, x):
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        x = self.layer2(self.layer1(x))
        each = [expert(x) for expert in (self.__dict__["first"], *self.experts.values())]
        return each if self.training else torch.stack(each).mean(0)


def network(model, norm, experts):
    """The network with its formula's weights, in float32."""
    from torchvision.models import resnet

    shapes = {
        "resnet10": (resnet.BasicBlock, [1, 1, 1, 1], {}),
        "resnet18": (resnet.BasicBlock, [2, 2, 2, 2], {}),
        "resnet34": (resnet.BasicBlock, [3, 4, 6, 3], {}),
        "resnet50": (resnet.Bottleneck, [3, 4, 6, 3], {}),
        "resnet101": (resnet.Bottleneck, [3, 4, 23, 3], {}),
        "resnet152": (resnet.Bottleneck, [3, 8, 36, 3], {}),
        "resnext50": (resnet.Bottleneck, [3, 4, 6, 3], {"groups": 32, "width_per_group": 4}),
    }
    block, layers, options = shapes[model]
    net = resnet.ResNet(block, layers, num_classes=CLASSES, **options)
    if experts > 1:
        net = Ride(net, layers, experts)
    if norm == "nbn":
        closing = "bn2" if block is resnet.BasicBlock else "bn3"
        count = 0
        for part in net.layer4:
            setattr(part, closing, Normalized(getattr(part, closing).num_features, net))
            count += 1
            if part.downsample is not None:
                part.downsample[1] = Normalized(part.downsample[1].num_features, net)
                count += 1
        net.scale_factor = nn.Parameter(torch.ones(count))
    state = net.state_dict()
    for name, tensor in state.items():
        if not name.endswith("num_batches_tracked"):
            state[name] = torch.tensor(start(name, tuple(tensor.shape)), dtype=torch.float32)
    net.load_state_dict(state)
    return net


def images(count, size):
    """`count` images [count, 3, size, size], normalized, and their labels."""
    pixels = np.floor((noise("images", count * 3 * size * size) + 1.0) * 128.0)
    pixels = pixels.reshape(count, 3, size, size)
    x = (pixels / 255.0 - np.array(MEAN).reshape(1, 3, 1, 1)) / np.array(STD).reshape(1, 3, 1, 1)
    return torch.tensor(x, dtype=torch.float32), torch.arange(count) % CLASSES


def loss_of(out, labels):
    """Cross-entropy; of several experts the sum of each one's."""
    return sum(F.cross_entropy(z, labels) for z in (out if isinstance(out, list) else [out]))


def record(model, norm, size, batch, steps, rate, experts):
    """Names, logits in evaluation, losses of training steps on the same batch."""
    net = network(model, norm, experts).eval()
    tensors = {n: t for n, t in net.state_dict().items() if not n.endswith("num_batches_tracked")}
    names = "".join(f"{n} {list(t.shape)}\n" for n, t in sorted(tensors.items()))
    x, labels = images(batch, size)
    with torch.no_grad():
        logits = net(x)
    made = {
        "model": model,
        "norm": norm,
        "experts": experts,
        "size": size,
        "batch": batch,
        "rate": rate,
        "tensors": len(tensors),
        "names_crc32": zlib.crc32(names.encode()),
        "logits": [[float(v) for v in row] for row in logits],
        "losses": [],
    }
    net.train()
    optimizer = torch.optim.SGD(net.parameters(), lr=rate, momentum=0.9, weight_decay=5e-4)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = loss_of(net(x), labels)
        loss.backward()
        optimizer.step()
        made["losses"].append(float(loss.detach()))
    return made


# model, norm, size, batch, steps, and experts where they are several: the ones at 224 pixels are the slow proof.
RECORDS = [
    ("resnet10", "nbn", 64, 4, 3),
    ("resnet18", "bn", 64, 2, 0),
    ("resnet34", "bn", 64, 2, 0),
    ("resnet50", "nbn", 64, 4, 5),
    ("resnet101", "bn", 64, 2, 0),
    ("resnet152", "bn", 64, 2, 0),
    ("resnext50", "nbn", 64, 4, 3),
    ("resnet50", "bn", 64, 4, 4, 3),
    ("resnet50", "nbn", 224, 4, 5),
    ("resnext50", "nbn", 224, 2, 0),
]


def write(out):
    """Writes all records into `out`."""
    out.mkdir(parents=True, exist_ok=True)
    for model, norm, size, batch, steps, *experts in RECORDS:
        # Three cosine classifiers on maps of 2 x 2 have gradients a thousand times as long.
        rate = 1e-7 if experts else 1e-4
        made = record(model, norm, size, batch, steps, rate, *(experts or [1]))
        path = out / f"{'ride-' if experts else ''}{model}-{norm}-{size}.json"
        path.write_text(json.dumps(made, indent=1) + "\n")
        print(path, made["losses"])
