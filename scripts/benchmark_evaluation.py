"""The part of ``benchmark.py`` about whole evaluations: the time of ``evaluate_cmi``.

Networks are untrained and data made up: time depends on neither. On one core an
evaluation of 10,000 items is to take less than 3 minutes with the paper's two
modalities, and less than 10 with its four.
"""

from __future__ import annotations

import tempfile
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexus_rl.data import Dataset

ITEMS, SAMPLES = 10_000, 10
JUDGED = 200  # rows that the judges are trained on
# By the preset of the model.
MODALITIES = {
    "paper": ("image", "label"),
    "paper_four": ("image", "trajectory", "sound", "label"),
}


def measure(items: int, seed: int, device: Any) -> dict[str, Any]:
    """Seconds of an evaluation with each of ``MODALITIES``."""
    return {
        "items": items,
        "samples": SAMPLES,
        "evaluations": {
            ", ".join(names): evaluation(preset, made_up(names, items, seed), device)
            for preset, names in MODALITIES.items()
        },
    }


def evaluation(preset: str, dataset: Dataset, device: Any) -> dict[str, Any]:
    """How many directions a model of ``preset`` is measured in, and the seconds."""
    from nexus_rl import Nexus
    from nexus_rl.cmi import JudgeConfig, Judges, evaluate_cmi
    from nexus_rl.modality import changed
    from nexus_rl.presets import PRESETS

    chosen = PRESETS[preset]
    model = Nexus(changed(dataset.modalities, chosen.sensors), chosen.model).to(device)
    items = len(dataset.test["label"])
    with tempfile.TemporaryDirectory() as cache:
        judges = Judges.of(
            dataset.head(JUDGED, items),
            config=JudgeConfig(classifier_epochs=1, autoencoder_epochs=1),
            cache=cache,
            device=str(device),
        )
        for name, what in judges.names():
            judges.judge(name, what)  # trains it
        start = time.perf_counter()
        report = evaluate_cmi(model, dataset, samples=SAMPLES, judges=judges)
        seconds = time.perf_counter() - start
    return {
        "subsets": len({row.given for row in report.rows}),
        "directions": len(report.rows),
        "seconds": round(seconds, 1),
    }


def made_up(names: Sequence[str], items: int, seed: int) -> Dataset:
    """Noise in the paper's shapes, with as many rows to train on as to test on."""
    import torch

    from nexus_rl.data import Dataset
    from nexus_rl.modality import PAPER

    noise = torch.Generator().manual_seed(seed)
    modalities = tuple(PAPER[name] for name in names)

    def part(rows: int) -> dict[str, torch.Tensor]:
        return {
            m.name: torch.arange(rows) % m.size  # every class equally often
            if m.categorical
            else torch.randint(
                256, (rows, *m.shape), dtype=torch.uint8, generator=noise
            )
            for m in modalities
        }

    return Dataset("noise", modalities, part(max(items, JUDGED)), part(items))


def table(result: dict[str, Any]) -> str:
    """The figures in Markdown."""
    lines = [
        "Seconds of a whole evaluation, measured once with one thread: accuracy and "
        "both kinds of MFD of every modality from every subset, "
        f"{result['samples']} samples of each of {result['items']:,} test items. What "
        "real data reach is found anew in each and is part of it; training the "
        "judges, which all models share, is not. Untrained Nexus of the paper's "
        "settings, made-up data.",
        "",
        "| modalities | subsets | directions | seconds |",
        "| --- | ---: | ---: | ---: |",
    ]
    for names, told in result["evaluations"].items():
        figures = (told["subsets"], told["directions"], told["seconds"])
        lines.append(f"| {names} | {' | '.join(map(str, figures))} |")
    return "\n".join(lines)
