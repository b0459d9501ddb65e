"""What ``config.json`` says of a model: checked, and made a model again.

Nothing is built before its size has been compared with that of the weights.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import nexus_rl
from nexus_rl.config import ModelConfig, check_values
from nexus_rl.errors import UserError, choose
from nexus_rl.modality import Modality
from nexus_rl.models import MODELS
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.models.ties import resolve, tie
from nexus_rl.networks import Builder

FORMAT = 1
# What is known of a description, by its type. The first few were always there; a file
# that is being replaced has what stands there until then as "previous".
PARTS: dict[str, type] = {
    "model": dict,
    "modalities": list,
    "frozen": list,
    "own_networks": list,
    "format": int,
    "library_version": str,
    "tied": dict,
    "weights": dict,
    "previous": dict,
}
OLDEST = ("model", "modalities", "frozen", "own_networks")
# Options that the first models had not; they are by default where they are absent.
NEWER = {ModelConfig: ("align", "upward", "alpha"), Modality: ("width", "format")}
# Values of one sample that only networks of the user's own see.
MOST_VALUES = 2**27


def describe(model: MultimodalVAE) -> dict[str, Any]:
    """Everything needed to rebuild ``model`` but its weights."""
    return {
        "model": asdict(model.config),
        "modalities": [asdict(modality) for modality in model.modalities],
        "frozen": [name for name, bottom in model.bottom_items() if bottom.frozen],
        "own_networks": list(model.own_networks),
    }


def head() -> dict[str, Any]:
    """What a description begins with."""
    return {"format": FORMAT, "library_version": nexus_rl.__version__}


def check(path: Path, found: Any, complete: bool) -> None:
    """Raises ``UserError`` unless ``found`` at ``path`` describes a model.

    Of a ``complete`` description this version knows every option; an older one may
    lack those that are newer.
    """
    told = found.get("format") if isinstance(found, dict) else None
    if told != FORMAT:
        raise UserError(
            f"{path} has format {told!r:.80}, expected {FORMAT}: it was not written by "
            "this version of nexus_rl"
        )
    _check_names(
        path, "", found, PARTS, set(PARTS) - {"previous"} if complete else OLDEST
    )
    for name, kind in PARTS.items():
        if name in found and type(found[name]) is not kind:
            raise UserError(f"{path}: {name} must be a {kind.__name__}")
    for name in ("frozen", "own_networks"):
        _check_texts(path, name, found[name])
    _check_texts(path, "tied", [*found.get("tied", {}).values()])
    _check_options(path, "model", found["model"], ModelConfig, complete)
    for k, modality in enumerate(found["modalities"]):
        _check_options(path, f"modalities[{k}]", modality, Modality, complete)
        shape = modality["shape"]
        if not isinstance(shape, list) or any(type(size) is not int for size in shape):
            raise UserError(f"{path}: shape in modalities[{k}] must be whole numbers")
    if before := found.get("previous"):
        if "previous" in before:
            raise UserError(f"{path}: previous has a previous of its own")
        check(path, before, complete=False)


def _check_options(
    path: Path, where: str, given: Any, of: type[Any], complete: bool
) -> None:
    if not isinstance(given, dict):
        raise UserError(f"{path}: {where} must be a dict")
    known = [each.name for each in fields(of)]
    newer = () if complete else NEWER[of]
    needed = [name for name in known if name not in newer]
    _check_names(path, f" in {where}", given, known, needed)
    try:
        check_values(of, given)
    except UserError as error:
        raise UserError(f"{path}, {where}: {error}") from None


def _check_names(
    path: Path,
    where: str,
    given: Mapping[str, Any],
    known: Collection[str],
    needed: Collection[str],
) -> None:
    if absent := ", ".join(sorted(set(needed) - set(given))):
        raise UserError(f"{path} is incomplete: no {absent}{where}")
    if unknown := ", ".join(sorted(set(given) - set(known))):
        raise UserError(
            f"{path} has unknown {unknown:.80}{where}: it is damaged, or of a newer "
            "version of nexus_rl"
        )


def _check_texts(path: Path, name: str, given: list[Any]) -> None:
    if not all(isinstance(each, str) for each in given):
        raise UserError(f"{path}: {name} must be names")


def rebuild(
    path: Path,
    description: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    networks: Mapping[str, Builder],
) -> MultimodalVAE:
    """The model that the ``description`` at ``path`` tells of, with ``weights``.

    Raises ``UserError`` where they contradict each other, and if ``networks`` of the
    user's own are missing.
    """
    if missing := ", ".join(sorted(set(description["own_networks"]) - set(networks))):
        raise UserError(
            f"{path.parent} was built with networks of your own for {missing}: give "
            "them again, e.g. load_model(folder, networks={...})"
        )
    ties = description.get("tied", {})
    try:
        config = ModelConfig(**description["model"])
        config = config.for_model(config.model)  # older models kept unused options
        modalities = [Modality(**modality) for modality in description["modalities"]]
        kind = choose(config.model, MODELS, "model")
        shapes = _shapes(kind, modalities, config, networks, len(weights))
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    for name, expected in shapes.items():
        _check_tensor(path, resolve(name, ties), expected, weights)
    model = kind(modalities, config, networks=networks)
    try:
        tie(model, ties)
        for name in description["frozen"]:
            model.freeze_bottom(name)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    shared = {name: resolve(name, ties) for name in model.state_dict()}
    again = {name: weights[first] for name, first in shared.items() if first in weights}
    try:
        model.load_state_dict({**weights, **again})
    except RuntimeError as error:
        raise UserError(f"{_weights(path)} does not fit: {error}") from None
    return model


def _shapes(
    kind: type[MultimodalVAE],
    modalities: list[Modality],
    config: ModelConfig,
    networks: Mapping[str, Builder],
    most: int,
) -> dict[str, Tensor]:
    """Tensors without memory, by name, of all networks but those of the user's own.

    Raises ``UserError`` for sizes that nothing can have, and for more modalities than
    the ``most`` tensors that there are.
    """
    if len(modalities) > most:
        raise UserError(f"{len(modalities)} modalities have more than {most} tensors")
    own = [modality for modality in modalities if modality.name in networks]
    for modality in own:
        if math.prod(modality.shape) > MOST_VALUES:
            raise UserError(
                f"modality {modality.name!r}: a sample of shape {modality.shape} has "
                f"more than {MOST_VALUES} values"
            )
    small = {"shape": (1,), "kind": "vector", "likelihood": "squared_error", "width": 1}
    stand_ins = [
        modality.replace(**small, top_likelihood="squared_error")
        if modality in own
        else modality
        for modality in modalities
    ]
    try:
        with torch.device("meta"):
            found = kind(stand_ins, config).state_dict()
    except UserError:
        raise
    except Exception as error:  # numbers too large for torch break it in many ways
        raise UserError(f"no networks have the sizes that it names: {error}") from None
    inside = tuple(f"bottoms.{modality.name}." for modality in own)
    return {name: t for name, t in found.items() if not name.startswith(inside)}


def _check_tensor(
    path: Path, name: str, expected: Tensor, weights: Mapping[str, Tensor]
) -> None:
    if name not in weights:
        raise UserError(f"{_weights(path)} does not fit {path.name}: no {name}")
    found = weights[name]
    if (found.shape, found.is_floating_point()) != (
        expected.shape,
        expected.is_floating_point(),
    ):
        raise UserError(
            f"{_weights(path)} does not fit {path.name}: {name} is {found.dtype} "
            f"{tuple(found.shape)}, expected {expected.dtype} {tuple(expected.shape)}"
        )


def _weights(path: Path) -> Path:
    return path.with_name("model.safetensors")
