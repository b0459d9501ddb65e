"""Models as folders: ``config.json`` and ``model.safetensors``, nothing pickled.

The first holds size and SHA-256 of the second. Two files cannot be replaced at once:
while they are, ``config.json`` also describes the model that was there before, and the
weights decide which one there is.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load as from_bytes
from safetensors.torch import save as to_bytes
from torch import Tensor

from nexus_rl.errors import UserError
from nexus_rl.files import (
    ChangedError,
    fingerprint,
    inside,
    read_sealed,
    write_atomic,
    write_json,
)
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.models.description import check, describe, head, rebuild
from nexus_rl.models.ties import find_ties, resolve
from nexus_rl.networks import Builder
from nexus_rl.processes import resolve_device

__all__ = ["describe", "load_model", "save"]

log = logging.getLogger(__name__)

CONFIG, WEIGHTS = "config.json", "model.safetensors"


def save(model: MultimodalVAE, folder: Path) -> None:
    """Writes everything needed to rebuild ``model``.

    Killed at any moment, the folder holds this model or the one before. Raises
    ``UserError`` if the model cannot be saved or the files not be written; what was
    there before is unchanged then.
    """
    ties = find_ties(model)
    content = _bytes(model, ties)
    description = {**head(), **describe(model), "tied": ties}
    description["weights"] = _fingerprint(content)
    config, weights = folder / CONFIG, folder / WEIGHTS
    before = _standing(folder)
    if before is None:  # weights alone are no model, and refuse nothing
        write_atomic(weights, content)
        try:
            write_json(config, description)
        except UserError:
            weights.unlink()
            raise
        return
    write_json(config, {**description, "previous": before})
    try:
        write_atomic(weights, content)
    except UserError:
        with suppress(UserError):  # it holds for the weights before as it is
            write_json(config, before)
        raise
    with suppress(UserError):  # it holds for the new weights as it is
        write_json(config, description)


def load_model(
    folder: str | Path,
    *,
    device: str = "cpu",
    networks: Mapping[str, Builder] | None = None,
    guarded: bool = False,
) -> MultimodalVAE:
    """The model in ``folder``, in eval mode.

    ``networks`` must be given again for modalities that were built with networks of
    your own. Logs a warning, once, for a folder of an older version, which has no
    checksums, unless it is ``guarded`` by others, as that in an agent's folder is.
    Raises ``UserError`` for folders that hold no model, or another format, and for
    files that were changed since they were written.
    """
    folder = Path(folder)
    description, weights = _read(folder, guarded)
    model = rebuild(folder / CONFIG, description, weights, networks or {})
    return model.to(resolve_device(device)).eval()


def _bytes(model: MultimodalVAE, ties: Mapping[str, str]) -> bytes:
    """The weights, what is shared only once."""
    weights = {
        name: t.detach().cpu().contiguous()
        for name, t in model.state_dict().items()
        if resolve(name, ties) == name
    }
    try:
        return to_bytes(weights)
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise UserError(
            f"this model cannot be saved: {error}. Tensors may be shared only as the "
            "same parameter; clone() those that just use the same memory"
        ) from None


def _fingerprint(content: bytes) -> dict[str, Any]:
    return {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def _standing(folder: Path) -> dict[str, Any] | None:
    """What describes the weights that are in ``folder``; None if nothing does."""
    try:
        found, _ = _read_description(folder)
        there = fingerprint(folder / WEIGHTS)
    except (UserError, OSError):
        return None
    previous = found.pop("previous", {})
    found.setdefault("weights", there)
    fitting = (each for each in (found, previous) if each.get("weights") == there)
    return next(fitting, None)


def _read_description(folder: Path) -> tuple[dict[str, Any], bool]:
    """What ``config.json`` says, and whether it has a checksum of itself."""
    path = inside(folder, CONFIG)
    try:
        found, sealed = read_sealed(path, "model description")
    except ChangedError as error:
        check(path, error.content, complete=True)  # it may name what was changed
        raise
    check(path, found, complete=False)
    return found, sealed


def _read(folder: Path, guarded: bool) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The description and the weights, which belong together."""
    path, before = inside(folder, WEIGHTS), None
    while True:
        found, sealed = _read_description(folder)
        each = [found, *([found["previous"]] if "previous" in found else [])]
        content = _read_weights(
            path, [one["weights"] for one in each if "weights" in one]
        )
        told = _fingerprint(content)
        fitting = [one for one in each if one.get("weights", told) == told]
        if fitting:
            break
        if found == before:
            raise UserError(
                f"{path} does not fit: it is not the file that {CONFIG} tells of, its "
                "size or sha256 differs; copy the whole folder again, or save the "
                "model again"
            )
        before = found  # the folder may just have been written to: look once more
    if not guarded and not (sealed and "weights" in found):
        _warn(folder)
    try:
        return fitting[0], from_bytes(content)
    except Exception as error:  # what damaged bytes raise
        raise UserError(f"{path} does not fit: {error}") from None


def _read_weights(path: Path, told: Sequence[Mapping[str, Any]]) -> bytes:
    """The bytes of the file; none if its size is none of those ``told``."""
    try:
        if told and path.stat().st_size not in [each.get("size") for each in told]:
            return b""
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path.parent} has a {CONFIG} but no {path.name}") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None


@cache  # once a folder
def _warn(folder: Path) -> None:
    log.warning(
        "%s is of an older version and has no checksums, so damage to it may go "
        "unnoticed; renew it by load_model(folder).save_pretrained(folder)",
        folder,
    )
