"""Weights in safetensors files, read without loading more than is asked for, and without torch.

Format: the safetensors description (8 bytes of length, a JSON header, tensors one after another). What a header says of
places and sizes is checked against the file before anything is read by it.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from freehold.domain.errors import StudentError

MAX_HEADER_BYTES = 100_000_000
"""The bound that the safetensors library has."""
_BYTES = {
    "F64": 8, "I64": 8, "U64": 8, "F32": 4, "I32": 4, "U32": 4, "F16": 2, "BF16": 2, "I16": 2, "U16": 2, "F8_E4M3": 1,
    "F8_E5M2": 1, "I8": 1, "U8": 1, "BOOL": 1,
}  # fmt: skip
_FLOATS: dict[str, Any] = {"F64": np.float64, "F32": np.float32, "F16": np.float16}
_FETCH = "Copy the model's folder again, or fetch it with `freehold models fetch NAME`."


class TensorAt(NamedTuple):
    """Where a tensor lies."""

    path: Path
    dtype: str
    """As safetensors writes it: F32, BF16, …"""
    shape: tuple[int, ...]
    start: int
    """Of its bytes in the file."""
    size: int
    """In bytes."""

    @property
    def numbers(self) -> int:
        """How many are in it."""
        return math.prod(self.shape)


class _Entry(msgspec.Struct):
    dtype: str
    shape: tuple[int, ...]
    data_offsets: tuple[int, int]


def tensors_in(paths: Sequence[Path]) -> dict[str, TensorAt]:
    """Every tensor of these files, by name; headers only are read.

    Raises:
        StudentError: a file is no whole safetensors file, or two hold a tensor of one name.
    """
    found: dict[str, TensorAt] = {}
    for path in paths:
        for name, tensor in _header(path).items():
            if name in found:
                raise StudentError(f"{path} holds {name}, and so does {found[name].path}.", _FETCH)
            found[name] = tensor
    return found


def as_floats(tensor: TensorAt) -> npt.NDArray[np.float32]:
    """A tensor's numbers as float32, in its shape; bfloat16 is widened exactly.

    Raises:
        StudentError: it is of a type that holds no plain numbers (float8, integers), or the file cannot be read.
    """
    try:
        with tensor.path.open("rb") as file:
            file.seek(tensor.start)
            data = file.read(tensor.size)
    except OSError as error:
        raise StudentError(f"{tensor.path} cannot be read: {error.strerror}.", _FETCH) from error
    if tensor.dtype == "BF16":  # the upper half of a float32
        wide = np.frombuffer(data, "<u2").astype(np.uint32) << 16
        return wide.view(np.float32).reshape(tensor.shape)
    if tensor.dtype not in _FLOATS:
        raise StudentError(
            f"{tensor.path} has weights of type {tensor.dtype}, which are quantised.",
            "Take the model's weights in bfloat16, float16 or float32.",
        )
    return np.frombuffer(data, _FLOATS[tensor.dtype]).astype(np.float32).reshape(tensor.shape)


def main_dtype(tensors: Mapping[str, TensorAt]) -> str:
    """The type that most of the numbers have; empty where there are none."""
    counts: dict[str, int] = {}
    for tensor in tensors.values():
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.numbers
    return max(counts, key=lambda name: counts[name], default="")


def _header(path: Path) -> dict[str, TensorAt]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8).ljust(8, b"\xff"))[0]
            if length > min(MAX_HEADER_BYTES, size - 8):
                raise StudentError(f"{path} is no safetensors file, or was cut off.", _FETCH)
            entries = msgspec.json.decode(file.read(length), type=dict[str, msgspec.Raw])
        entries.pop("__metadata__", None)
        read = {name: msgspec.json.decode(entry, type=_Entry) for name, entry in entries.items()}
    except OSError as error:
        raise StudentError(f"{path} cannot be read: {error.strerror}.", _FETCH) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise StudentError(f"{path} is no safetensors file: {error}.", _FETCH) from error
    return {name: _place(path, name, entry, 8 + length, size) for name, entry in read.items()}


def _place(path: Path, name: str, entry: _Entry, data: int, size: int) -> TensorAt:
    start, end = entry.data_offsets
    wanted = math.prod(entry.shape) * _BYTES.get(entry.dtype, 0)
    if min(entry.shape, default=1) < 0 or start < 0 or data + end > size or end - start != wanted:
        raise StudentError(f"{path} is cut off or damaged: {name} does not lie in it as its header says.", _FETCH)
    return TensorAt(path, entry.dtype, entry.shape, data + start, end - start)
