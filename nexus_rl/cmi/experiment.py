"""Runs of an experiment: one model each, trained in stages and measured once.

With two levels the bottoms are trained once a dataset, preset and seed, and shared by
every top level on them. Bottoms that are trained alone come first, and stay as they
are. A top level follows the others: its epoch k is trained on the
bottoms' posteriors after their epoch k, as in joint training, where they still tell
much of the data when the top level begins. A run that was interrupted goes on where it
was.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nexus_rl import columns as cols
from nexus_rl.config import TrainConfig
from nexus_rl.data.dataset import Dataset
from nexus_rl.modality import Modality, changed
from nexus_rl.models import MultimodalVAE, make_model
from nexus_rl.models.files import load_model
from nexus_rl.presets import Preset
from nexus_rl.run_folder import RunFolder
from nexus_rl.tensors import read_tensors, write_tensors
from nexus_rl.training import train_to_end

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Run:
    """One model of an experiment, with one seed.

    ``row`` names it in the table and in file names; ``preset`` holds the model's
    settings, how it is trained, and how the dataset's modalities differ from their
    defaults. ``alone`` names modalities whose bottoms are trained by themselves, and
    how.
    """

    row: str
    dataset: str
    seed: int
    epochs: int
    preset: Preset
    alone: Mapping[str, TrainConfig] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The run's name, alone in its experiment."""
        first = "".join(f"_{name}{how.epochs}" for name, how in self.alone.items())
        name = f"{self.dataset}_{self.row}_seed{self.seed}_epochs{self.epochs}"
        return name + first

    @property
    def bottoms(self) -> str:
        """The name of the bottoms it stands on; runs with the same ones share them."""
        below = {
            name: {k: v for k, v in fields.items() if not k.startswith("top_")}
            for name, fields in self.preset.sensors.items()
        }
        own = {k: v for k, v in below.items() if v}
        decisive: list[Any] = [own, asdict(self.train)]
        if self.alone:
            decisive.append(sorted(self.alone))
        name = f"{self.dataset}_seed{self.seed}_epochs{self.epochs}"
        return f"{name}_{_digest(decisive)}"

    def bottom(self, name: str) -> str:
        """The name of the bottom that is trained on modality ``name`` alone."""
        decisive = [self.preset.sensors.get(name, {}), asdict(self.alone[name])]
        return f"{self.dataset}_{name}_seed{self.seed}_{_digest(decisive)}"

    @property
    def train(self) -> TrainConfig:
        """How it is trained, in one stage."""
        return replace(self.preset.train, seed=self.seed, epochs=self.epochs)

    def describe(self) -> dict[str, Any]:
        """Everything that decides its numbers, for JSON."""
        alone = {name: asdict(how) for name, how in self.alone.items()}
        return {
            **{k: getattr(self, k) for k in ("row", "dataset", "seed", "epochs")},
            "model": asdict(self.preset.model),
            "sensors": {k: dict(v) for k, v in self.preset.sensors.items()},
            "train": asdict(self.train),
            **({"alone": alone} if alone else {}),
        }


def _digest(decisive: list[Any]) -> str:
    text = json.dumps(decisive, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def all_bottoms(
    run: Run, dataset: Dataset, folder: Path, device: str, progress: bool
) -> dict[str, MultimodalVAE]:
    """A model with the bottom of each modality, below ``folder``: trained if need be.

    Raises ``UserError`` where the dataset lacks a modality that is trained alone.
    """
    options = (dataset, folder, device, progress)
    found = {name: train_alone(run, name, *options) for name in run.alone}
    shared = train_bottoms(run, *options)
    return found | dict.fromkeys((m.name for m in shared.modalities), shared)


def train_alone(
    run: Run, name: str, dataset: Dataset, folder: Path, device: str, progress: bool
) -> MultimodalVAE:
    """The bottom of modality ``name`` by itself, below ``folder``.

    Trained, if need be, on each distinct row once; the weights of least validation
    loss are taken, as in the released code.
    """
    config = replace(run.alone[name], seed=run.seed, device=device)
    part = dataset.once(name)
    model = make_model("nexus", run_modalities(run, part), seed=run.seed)
    own = folder / "alone" / run.bottom(name)
    _trained(model, part, config, own, progress)
    return load_model(own / "best", device=device)


def train_bottoms(
    run: Run, dataset: Dataset, folder: Path, device: str, progress: bool
) -> MultimodalVAE:
    """The bottoms that ``run`` shares with others, below ``folder``, as far as needed.

    Without those that are trained alone.
    """
    dataset = dataset.without(run.alone)
    config = replace(run.train, stage="bottom", device=device)
    # The top level is not trained here: any two-level model has these bottoms.
    model = make_model("nexus", run_modalities(run, dataset), seed=run.seed)

    own = folder / "bottoms" / run.bottoms
    _complete_posteriors(run, dataset, folder, RunFolder(own))

    def keep(record: Mapping[str, float]) -> None:
        path = _posteriors_path(run, folder, int(record["epoch"]))
        _write_posteriors(path, model, dataset)

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
    bottoms = all_bottoms(run, dataset, folder, device, progress)
    for each, source in bottoms.items():
        model.freeze_bottom(each, source)
    alone = {each: _posterior(bottoms[each], dataset, each) for each in run.alone}

    def posteriors(epoch: int) -> cols.Columns:
        found = read_tensors(_posteriors_path(run, folder, epoch))
        return alone | {
            m.name: tuple(found[f"{m.name}.{part}"] for part in PARTS)
            for m in model.modalities
            if m.name not in alone
        }

    top = replace(config, stage="top")
    return _trained(model, dataset, top, own, progress, posteriors=posteriors)


PARTS = ("mean", "logvar")


def _complete_posteriors(
    run: Run, dataset: Dataset, folder: Path, own: RunFolder
) -> None:
    """Writes those of the last epoch where a run was killed just before it could.

    Without others the bottoms are trained again.
    """
    paths = {
        int(record["epoch"]): _posteriors_path(run, folder, int(record["epoch"]))
        for record in own.read_log()
    }
    missing = [epoch for epoch, path in paths.items() if not path.exists()]
    if not missing:
        return
    state = own.load_state()
    if state and (missing, state["step"]) == ([state["epoch"] - 1], 0):
        _write_posteriors(paths[missing[0]], load_model(own.path), dataset)
        return
    log.warning(
        "posteriors of %d epochs are gone from %s: training its bottoms again",
        *(len(missing), paths[missing[0]].parent),
    )
    own.clear()


def _write_posteriors(path: Path, model: MultimodalVAE, dataset: Dataset) -> None:
    content = {
        f"{name}.{part}": tensor
        for name, pair in cols.bottom_posteriors(model, dataset.train).items()
        for part, tensor in zip(PARTS, pair, strict=True)
    }
    write_tensors(path, content)


def _posterior(bottom: MultimodalVAE, dataset: Dataset, name: str) -> tuple[Any, ...]:
    """What a bottom trained alone says of every row, asked once a distinct one."""
    first, place = dataset.distinct(name)
    found = cols.bottom_posteriors(bottom, {name: dataset.train[name][first]})
    return tuple(part.cpu()[place] for part in found[name])


def _posteriors_path(run: Run, folder: Path, epoch: int) -> Path:
    """Where the bottoms' posteriors of the training data after ``epoch`` are."""
    return folder / "posteriors" / run.bottoms / f"epoch_{epoch:03d}.safetensors"


def run_modalities(run: Run, dataset: Dataset) -> tuple[Modality, ...]:
    """The dataset's modalities, with what the run's preset says of them."""
    return changed(dataset.modalities, run.preset.sensors)


def _trained(
    model: MultimodalVAE,
    dataset: Dataset,
    config: TrainConfig,
    folder: Path,
    progress: bool,
    **options: Any,
) -> MultimodalVAE:
    train_to_end(model, dataset.train, config, folder, progress, **options)
    return load_model(folder, device=config.device)
