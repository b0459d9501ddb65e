"""Runs of an experiment: one model each, trained in stages and measured once.

With two levels the bottoms are trained once a dataset, preset and seed, and shared by
every top level on them. A run that was interrupted goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from nexus_rl.config import TrainConfig
from nexus_rl.data.dataset import Dataset
from nexus_rl.modality import Modality
from nexus_rl.models import MultimodalVAE, make_model
from nexus_rl.models.files import load_model
from nexus_rl.presets import Preset
from nexus_rl.run_folder import RunFolder
from nexus_rl.training import train


@dataclass(frozen=True)
class Run:
    """One model of an experiment, with one seed.

    ``row`` names it in the table and in file names; ``preset`` holds the model's
    settings, how it is trained, and how the dataset's modalities differ from their
    defaults.
    """

    row: str
    dataset: str
    seed: int
    epochs: int
    preset: Preset

    @property
    def name(self) -> str:
        """The run's name, alone in its experiment."""
        return f"{self.dataset}_{self.row}_seed{self.seed}_epochs{self.epochs}"

    @property
    def bottoms(self) -> str:
        """The name of the bottoms it stands on; runs with the same ones share them."""
        below = {
            name: {k: v for k, v in fields.items() if not k.startswith("top_")}
            for name, fields in self.preset.sensors.items()
        }
        decisive = [{k: v for k, v in below.items() if v}, asdict(self.train)]
        digest = hashlib.sha256(json.dumps(decisive, sort_keys=True).encode())
        name = f"{self.dataset}_seed{self.seed}_epochs{self.epochs}"
        return f"{name}_{digest.hexdigest()[:8]}"

    @property
    def train(self) -> TrainConfig:
        """How it is trained, in one stage."""
        return replace(self.preset.train, seed=self.seed, epochs=self.epochs)

    def describe(self) -> dict[str, Any]:
        """Everything that decides its numbers, for JSON."""
        return {
            **{k: getattr(self, k) for k in ("row", "dataset", "seed", "epochs")},
            "model": asdict(self.preset.model),
            "sensors": {k: dict(v) for k, v in self.preset.sensors.items()},
            "train": asdict(self.train),
        }


def train_bottoms(
    run: Run, dataset: Dataset, folder: Path, device: str, progress: bool
) -> MultimodalVAE:
    """The bottoms that ``run`` stands on, below ``folder``: trained if need be."""
    config = replace(run.train, stage="bottom", device=device)
    # The top level is not trained here: any two-level model has these bottoms.
    model = make_model("nexus", run_modalities(run, dataset), seed=run.seed)
    return _trained(model, dataset, config, folder / "bottoms" / run.bottoms, progress)


def train_model(
    run: Run,
    dataset: Dataset,
    folder: Path,
    device: str = "cpu",
    progress: bool = False,
) -> MultimodalVAE:
    """The model of ``run``, below ``folder``: trained as far as it is not."""
    options = asdict(run.preset.model)
    name = options.pop("model")
    model = make_model(name, run_modalities(run, dataset), seed=run.seed, **options)
    config = replace(run.train, device=device)
    if run.preset.model.levels == 2:
        bottoms = train_bottoms(run, dataset, folder, device, progress)
        for modality in model.modalities:
            model.freeze_bottom(modality.name, bottoms)
        config = replace(config, stage="top")
    return _trained(model, dataset, config, folder / run.name, progress)


def run_modalities(run: Run, dataset: Dataset) -> list[Modality]:
    """The dataset's modalities, with what the run's preset says of them."""
    changes = run.preset.sensors
    return [replace(m, **changes.get(m.name, {})) for m in dataset.modalities]


def _trained(
    model: MultimodalVAE,
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    progress: bool,
) -> MultimodalVAE:
    begun = (folder / "run.json").exists()
    state = RunFolder(folder).load_state() if begun else None
    if state is None or state["epoch"] <= config.epochs:
        result = train(
            model, dataset.train, config, out=folder, resume=begun, progress=progress
        )
        if result.interrupted:
            raise KeyboardInterrupt
    return load_model(folder, device=config.device)
