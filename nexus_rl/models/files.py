"""Models as folders: ``config.json`` and ``model.safetensors``, nothing pickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

import nexus_rl
from nexus_rl.config import ModelConfig
from nexus_rl.errors import UserError, choose
from nexus_rl.files import read_json, write_atomic, write_json
from nexus_rl.modality import Modality
from nexus_rl.models import MODELS
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.networks import Builder
from nexus_rl.processes import resolve_device

FORMAT = 1


def describe(model: MultimodalVAE) -> dict[str, Any]:
    """Everything needed to rebuild ``model`` but its weights."""
    return {
        "model": asdict(model.config),
        "modalities": [asdict(modality) for modality in model.modalities],
        "frozen": [name for name, bottom in model.bottom_items() if bottom.frozen],
        "own_networks": list(model.own_networks),
    }


def save(model: MultimodalVAE, folder: Path) -> None:
    """Writes everything needed to rebuild ``model``; the weights come last."""
    description = {
        "format": FORMAT,
        "library_version": nexus_rl.__version__,
        **describe(model),
    }
    weights = {
        name: t.detach().cpu().contiguous() for name, t in model.state_dict().items()
    }
    write_json(folder / "config.json", description)
    write_atomic(folder / "model.safetensors", to_bytes(weights))


def load_model(
    folder: str | Path,
    *,
    device: str = "cpu",
    networks: Mapping[str, Builder] | None = None,
) -> MultimodalVAE:
    """The model in ``folder``, in eval mode.

    ``networks`` must be given again for modalities that were built with networks of
    your own. Raises ``UserError`` for folders that hold no model, or another format.
    """
    folder = Path(folder)
    description = read_json(folder / "config.json", "model description")
    model = _rebuild(description, folder, networks or {})
    try:
        model.load_state_dict(load_file(folder / "model.safetensors"))
    except FileNotFoundError:
        raise UserError(
            f"{folder} has a config.json but no model.safetensors"
        ) from None
    except (SafetensorError, RuntimeError) as error:
        raise UserError(
            f"{folder / 'model.safetensors'} does not fit: {error}"
        ) from None
    return model.to(resolve_device(device)).eval()


def _rebuild(
    description: Any, folder: Path, networks: Mapping[str, Builder]
) -> MultimodalVAE:
    found = description.get("format") if isinstance(description, dict) else None
    if found != FORMAT:
        raise UserError(
            f"{folder / 'config.json'} has format {found!r}, expected {FORMAT}: it was "
            "not written by this version of nexus_rl"
        )
    parts = {"model", "modalities", "frozen", "own_networks"}
    if absent := ", ".join(sorted(parts - set(description))):
        raise UserError(f"{folder / 'config.json'} is incomplete: no {absent}")
    missing = set(description["own_networks"]) - set(networks)
    if missing:
        names = ", ".join(sorted(missing))
        raise UserError(
            f"{folder} was built with networks of your own for {names}: give them "
            "again, e.g. load_model(folder, networks={...})"
        )
    config = ModelConfig(**description["model"])
    config = config.for_model(config.model)  # older models kept options without use
    modalities = [Modality(**modality) for modality in description["modalities"]]
    kind = choose(config.model, MODELS, "model")
    model = kind(modalities, config, networks=networks)
    for name in description["frozen"]:
        model.freeze_bottom(name)
    return model
