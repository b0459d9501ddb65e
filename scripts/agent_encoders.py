"""The encoders of an experiment with agents: the same data and bottoms a seed."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

from agent_rows import ENCODERS, Experiment

from nexus_rl.presets import PRESETS, Preset, default_preset

if TYPE_CHECKING:
    from nexus_rl.data import Dataset
    from nexus_rl.models import MultimodalVAE


def encoder_folder(runs: Path, name: str, seed: int) -> Path:
    """Where an encoder is kept."""
    return runs / "encoders" / f"{name}_seed{seed}"


def train_encoder(
    experiment: Experiment, name: str, seed: int, runs: Path, progress: bool
) -> Path:
    """The folder of encoder ``name``, trained as far as it is not.

    All of a seed see the same data; those of two levels stand on the same bottoms.
    """
    from nexus_rl.models import make_model
    from nexus_rl.training import train_to_end

    preset, folder = preset_of(experiment), encoder_folder(runs, name, seed)
    entry = ENCODERS[name]
    dataset = load_data(experiment, seed, runs, progress).without(entry.without)
    options = asdict(replace(preset.model.for_model(entry.model), **entry.options))
    model = make_model(options.pop("model"), dataset.modalities, seed=seed, **options)
    bottom, top = preset.top.stages(replace(preset.train, seed=seed, device="cpu"))
    if options["levels"] == 1:
        whole = replace(bottom, stage="joint", epochs=bottom.epochs + top.epochs)
        train_to_end(model, dataset, whole, folder, progress)
        return folder
    bottoms = train_bottoms(experiment, seed, runs, progress)
    for modality in dataset.modalities:
        model.freeze_bottom(modality.name, bottoms[modality.name])
    train_to_end(model, dataset, top, folder, progress)
    return folder


def train_bottoms(
    experiment: Experiment, seed: int, runs: Path, progress: bool
) -> dict[str, MultimodalVAE]:
    """A model with the bottom of each modality, which any model of two levels has.

    Those that are trained beforehand are taken where they were best.
    """
    from nexus_rl.models import make_model
    from nexus_rl.models.files import load_model
    from nexus_rl.training import train_to_end

    preset = preset_of(experiment)
    dataset = load_data(experiment, seed, runs, progress)
    config, _ = preset.top.stages(replace(preset.train, seed=seed, device="cpu"))
    parts = [("bottoms", dataset.without(preset.alone), config, "")]
    for name, how in preset.beforehand(config, preset.alone_epochs).items():
        parts.append((f"bottom_{name}", dataset.once(name), how, "best"))
    found: dict[str, MultimodalVAE] = {}
    for part_name, part, how, weights in parts:
        folder = encoder_folder(runs, part_name, seed)
        model = make_model("nexus", part.modalities, seed=seed)
        train_to_end(model, part, how, folder, progress)
        found |= dict.fromkeys(part.train, load_model(folder / weights))
    return found


def preset_of(experiment: Experiment) -> Preset:
    """How encoders of the experiment's environment are trained."""
    return PRESETS[experiment.encoder_preset or default_preset(experiment.env)]


def load_data(experiment: Experiment, seed: int, runs: Path, progress: bool) -> Dataset:
    """What the encoders of a seed are trained on: a data set, or simulated once."""
    sensors = preset_of(experiment).sensors
    if experiment.dataset is not None:
        from nexus_rl.data import load_dataset
        from nexus_rl.modality import changed

        data = load_dataset(experiment.dataset, experiment.env_kwargs.get("folder"))
        return replace(data, modalities=changed(data.modalities, sensors))
    from nexus_rl.data.simulate import simulate

    return simulate(
        experiment.env,
        experiment.encoder_rows,
        env_kwargs=experiment.env_kwargs,
        seed=seed,
        out=runs / "data" / f"seed{seed}",
        sensors=sensors,
        progress=progress,
    )
