"""Tensors in a file of their own, which tells when it was changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load, save
from torch import Tensor

from nexus_rl.errors import UserError
from nexus_rl.files import SEAL, write_atomic


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes a safetensors file; its metadata has the SHA-256 of one without them."""
    plain = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    digest = hashlib.sha256(save(plain)).hexdigest()
    write_atomic(path, save(plain, metadata={SEAL: digest}))


def read_tensors(path: Path) -> dict[str, Tensor]:
    """What ``write_tensors`` wrote. Raises ``UserError`` for a damaged file.

    A file without a checksum, as older versions wrote it, is taken as it is.
    """
    try:
        content = path.read_bytes()
        found = load(content)
        head = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        digest = head.get("__metadata__", {}).get(SEAL)
        if digest and hashlib.sha256(save(found)).hexdigest() != digest:
            raise ValueError("its content does not have the SHA-256 that it names")
    except Exception as error:  # what damaged bytes raise
        raise UserError(f"{path} is damaged: {error}") from None
    return found
