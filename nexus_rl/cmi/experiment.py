"""Runs of an experiment: one model each, trained in stages and measured once.

With two levels the bottoms are trained once a dataset, preset and seed, and shared by
every top level on them. A top level follows them: its epoch k is trained on the
bottoms' posteriors after their epoch k, as in joint training, where they still tell
much of the data when the top level begins. A run that was interrupted goes on where it
was.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save

from nexus_rl import columns as cols
from nexus_rl.config import TrainConfig
from nexus_rl.data.dataset import Dataset
from nexus_rl.files import write_atomic
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

    def keep(record: Mapping[str, float]) -> None:
        found = cols.bottom_posteriors(model, dataset.train)
        content = save(
            {
                f"{name}.{part}": tensor.cpu().contiguous()
                for name, pair in found.items()
                for part, tensor in zip(PARTS, pair, strict=True)
            }
        )
        write_atomic(_posteriors_path(run, folder, int(record["epoch"])), content)

    own = folder / "bottoms" / run.bottoms
    if any(
        not _posteriors_path(run, folder, int(record["epoch"])).exists()
        for record in RunFolder(own).read_log()
    ):
        RunFolder(own).clear()  # killed just before it could write the posteriors
    return _trained(model, dataset, config, own, progress, on_epoch=keep)


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
    own = folder / run.name
    if run.preset.model.levels == 1:
        return _trained(model, dataset, config, own, progress)
    bottoms = train_bottoms(run, dataset, folder, device, progress)
    for modality in model.modalities:
        model.freeze_bottom(modality.name, bottoms)

    def posteriors(epoch: int) -> cols.Columns:
        found = load_file(_posteriors_path(run, folder, epoch))
        return {
            m.name: tuple(found[f"{m.name}.{part}"] for part in PARTS)
            for m in model.modalities
        }

    top = replace(config, stage="top")
    return _trained(model, dataset, top, own, progress, posteriors=posteriors)


PARTS = ("mean", "logvar")


def _posteriors_path(run: Run, folder: Path, epoch: int) -> Path:
    """Where the bottoms' posteriors of the training data after ``epoch`` are."""
    return folder / "posteriors" / run.bottoms / f"epoch_{epoch:03d}.safetensors"


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
    **options: Any,
) -> MultimodalVAE:
    begun = (folder / "run.json").exists()
    state = RunFolder(folder).load_state() if begun else None
    if state is None or state["epoch"] <= config.epochs:
        result = train(
            model,
            dataset.train,
            config,
            out=folder,
            resume=begun,
            progress=progress,
            **options,
        )
        if result.interrupted:
            raise KeyboardInterrupt
    return load_model(folder, device=config.device)
