"""The reference networks: CIFAR ResNets of depth 6n+2 with option-A shortcuts, plain or normalized
batch norm (NBN), and a linear or Logit Rectification (LR) head.

Parameter names: conv1.weight, bn1.*, layer1.0.conv1.weight, layer1.0.bn1.*, ..., linear.weight,
linear.bias. With NBN the bn2 of every block of the last stage is normalized: its weight and bias are
γ and β, and all share α = scale_factor[0]; scale_factor has one entry per normalized layer, of which
the others are unused. With the LR head, linear.bn.* are the running statistics of the batch norm
(without affine) that follows the linear layer.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

NORM_EPS = 1e-6
MODELS = {f"resnet{6 * n + 2}": (n, (16, 32, 64)) for n in (3, 5, 7, 9, 18)}
MODELS["small"] = (1, (8, 16, 32))


class NormalizedBatchNorm2d(nn.BatchNorm2d):
    """y = w·x̂ + b with w = α·γ/(‖γ‖ + 1e-6), b = α·β/(‖β‖ + 1e-6); γ is `weight`, β is `bias`."""

    def forward(self, x, alpha):
        weight = self.weight / (self.weight.norm() + NORM_EPS) * alpha
        bias = self.bias / (self.bias.norm() + NORM_EPS) * alpha
        if self.training:
            self.num_batches_tracked.add_(1)
        return F.batch_norm(
            x, self.running_mean, self.running_var, weight, bias, self.training, self.momentum, self.eps
        )


class Block(nn.Module):
    """conv-BN-ReLU-conv-BN, plus the shortcut, ReLU."""

    def __init__(self, inner, planes, stride, normalized):
        super().__init__()
        self.conv1 = nn.Conv2d(inner, planes, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2 = NormalizedBatchNorm2d(planes) if normalized else nn.BatchNorm2d(planes)
        self.normalized = normalized
        self.stride, self.pad = stride, (planes - inner) // 2

    def forward(self, x, alpha):
        y = self.conv2(F.relu(self.bn1(self.conv1(x))))
        y = self.bn2(y, alpha) if self.normalized else self.bn2(y)
        if self.stride != 1 or self.pad:
            x = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, self.pad, self.pad))
        return F.relu(y + x)


class LRLinear(nn.Linear):
    """Logit Rectification: a linear layer, then batch norm without affine over the logits."""

    def __init__(self, features, classes):
        super().__init__(features, classes)
        self.bn = nn.BatchNorm1d(classes, affine=False)

    def forward(self, x):
        return self.bn(super().forward(x))


class ResNet(nn.Module):
    """Stem, three stages of n blocks, global average pool, head."""

    def __init__(self, n, widths, classes, norm="bn", head="linear"):
        super().__init__()
        self.conv1 = nn.Conv2d(3, widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        inner = widths[0]
        for stage, planes in enumerate(widths, 1):
            blocks = []
            for i in range(n):
                stride = 2 if stage > 1 and i == 0 else 1
                blocks.append(Block(inner, planes, stride, norm == "nbn" and stage == 3))
                inner = planes
            setattr(self, f"layer{stage}", nn.ModuleList(blocks))
        self.scale_factor = nn.Parameter(torch.ones(n)) if norm == "nbn" else None
        self.linear = LRLinear(inner, classes) if head == "lr" else nn.Linear(inner, classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x):
        alpha = None if self.scale_factor is None else self.scale_factor[0]
        x = F.relu(self.bn1(self.conv1(x)))
        for stage in (self.layer1, self.layer2, self.layer3):
            for block in stage:
                x = block(x, alpha)
        return self.linear(x.mean((2, 3)))


def build(model, classes, norm, head):
    """A network by name, with PyTorch's current random state."""
    n, widths = MODELS[model]
    return ResNet(n, widths, classes, norm, head)


def state(model):
    """{name: numpy array} of all parameters and statistics."""
    return {name: value.detach().cpu().numpy() for name, value in model.state_dict().items()}


def load(model, tensors):
    """Loads {name: numpy array} with strict=True."""
    model.load_state_dict({name: torch.from_numpy(np.array(v)) for name, v in tensors.items()}, strict=True)
    return model
