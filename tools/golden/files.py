"""Safetensors files: read with the package, written here so that equal content makes equal bytes
(the package writes the metadata in a random order)."""

import json
import os
import struct

import numpy as np
from safetensors import safe_open

CODES = {"float32": "F32", "float64": "F64", "int64": "I64", "uint8": "U8"}


def save(path, tensors, metadata=None):
    """Writes {name: numpy array} and {name: text}, sorted by name, whole or not at all."""
    header, offset, parts = {}, 0, []
    if metadata:
        header["__metadata__"] = {k: str(v) for k, v in sorted(metadata.items())}
    for name in sorted(tensors):
        # ascontiguousarray gives a scalar an axis
        array = np.asarray(tensors[name], order="C")
        data = array.tobytes()
        header[name] = {
            "dtype": CODES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(data)],
        }
        parts.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    partial = f"{path}.part"
    with open(partial, "wb") as out:
        out.write(struct.pack("<Q", len(text)) + text + b"".join(parts))
    os.replace(partial, path)


def load(path):
    """({name: numpy array}, {name: text})"""
    with safe_open(path, framework="numpy") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}


def numbered(tensors, group):
    """{0: in.0, 1: in.1, ...} for the group `in`"""
    found = {}
    for name, array in tensors.items():
        head, _, index = name.partition(".")
        if head == group:
            found[int(index)] = array
    return dict(sorted(found.items()))
