"""The image operations of augmentation policies, by torchvision on bytes."""

import json
import pathlib

import numpy as np
import torch

from . import files

# number of the operation in kernels/augment/, torchvision's name, amounts; amounts for which no source pixel is halfway
CASES = [
    (0, "Identity", [0.0]),
    (1, "ShearX", [0.3, -0.1]),
    (2, "ShearY", [0.23, -0.3]),
    (3, "TranslateX", [5.7, -3.2]),
    (4, "TranslateY", [4.1, -6.9]),
    (5, "Rotate", [30.0, -7.5]),
    (6, "Brightness", [0.7, -0.4]),
    (7, "Color", [0.9, -0.5]),
    (8, "Contrast", [0.6, -0.9]),
    (9, "Sharpness", [0.9, -0.7]),
    (10, "Posterize", [4.0, 7.0, 8.0]),
    (11, "Solarize", [128.0, 198.33333]),
    (12, "AutoContrast", [0.0]),
    (13, "Equalize", [0.0]),
    (14, "Invert", [0.0]),
]


def images(h, w):
    """Noise; a smooth image of few values; one of a single value in one channel."""
    rng = np.random.default_rng(5)
    noise = rng.integers(0, 256, (3, h, w))
    row, column = np.mgrid[0:h, 0:w]
    smooth = np.stack([40 + 3 * row + 2 * column, 200 - 5 * row, 90 + 20 * (column // 5)])
    flat = noise // 4 + 30
    flat[1] = 77
    return np.stack([noise, smooth, flat]).astype(np.uint8)


def write(folder):
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.autoaugment import _apply_op
    import torchvision

    x = images(18, 20)
    tensors, cases = {"images": x}, []
    for number, name, amounts in CASES:
        for amount in amounts:
            out = [_apply_op(torch.from_numpy(i), name, amount, InterpolationMode.NEAREST, None) for i in x]
            tensors[f"out.{len(cases)}"] = torch.stack(out).numpy()
            cases.append([number, amount])
    meta = {"cases": json.dumps(cases), "source": f"torchvision {torchvision.__version__.split('+')[0]}"}
    files.save(pathlib.Path(folder) / "operations.safetensors", tensors, meta)
    print(f"{len(cases)} cases in {folder}")
