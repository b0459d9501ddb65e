"""The IDX files of MNIST: a big-endian header, then unsigned bytes."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import torch
from torch import Tensor

from nexus_rl.data.files import check_sha256, read_unzipped
from nexus_rl.errors import UserError

UNSIGNED_BYTE = 0x08


def read_idx(path: str | Path, dims: int, sha256: str = "", advice: str = "") -> Tensor:
    """The ``uint8`` array with ``dims`` axes of an IDX file, plain or gzipped.

    The header is two zero bytes, the type of the items, the number of axes, and each
    axis' size as a big-endian 32-bit number. If ``sha256`` is given it is compared with
    that of the unzipped bytes. The file is read once and the tensor is a view of its
    bytes. Raises ``UserError`` that names the file, what was expected and found, and
    ends with ``advice``: on an unreadable, truncated, overlong or corrupt file, another
    type or number of axes, and a wrong checksum.
    """
    path = Path(path)
    content = read_unzipped(path, advice)

    def refuse(expected: str, found: str) -> UserError:
        message = f"{path}: expected {expected}, found {found}. {advice}"
        return UserError(message.rstrip())

    magic = bytes([0, 0, UNSIGNED_BYTE, dims])
    if content[:4] != magic:
        raise refuse(
            f"an IDX file of unsigned bytes with {dims} axes (magic {magic.hex()})",
            f"magic {content[:4].hex() or 'nothing: the file is empty'}",
        )
    start = 4 + 4 * dims
    if len(content) < start:
        raise refuse(f"a header of {start} bytes", f"{len(content)} bytes in all")
    shape = struct.unpack_from(f">{dims}I", content, offset=4)
    size = start + math.prod(shape)
    if len(content) != size:
        raise refuse(
            f"{size} unzipped bytes for an array {shape}", f"{len(content)} bytes"
        )
    if size == start:
        raise refuse("at least one item", f"an empty array {shape}")
    if sha256:
        check_sha256(content, sha256, path, advice)
    return torch.frombuffer(content, dtype=torch.uint8, offset=start).reshape(shape)
