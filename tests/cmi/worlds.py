"""A world in which everything about imagination can be told in advance.

Points of the plane, at one of four centres plus noise; their sum and their class go
with them. The judges know the truth: what they say needs no training.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from nexus_rl import Modality, make_model
from nexus_rl.cmi import Judges, Report, evaluate_cmi
from nexus_rl.cmi.report import Row
from nexus_rl.data import Dataset
from nexus_rl.draws import seeded
from nexus_rl.models import MultimodalVAE

POINT = Modality(
    "point", (2,), weight=200, top_weight=10, latent_dim=4, width=32, low=-4, high=4
)
SOUND = Modality("sound", (3,), low=-4, high=4)
CLASS = Modality("class", (4,), "categorical", weight=50, top_weight=10, width=32)
CENTRES = torch.tensor([[-1.0, -1], [-1, 1], [1, -1], [1, 1]])


def part(rows: int, seed: int) -> dict[str, Tensor]:
    noise = seeded(seed)
    classes = torch.randint(4, (rows,), generator=noise)
    point = CENTRES[classes] + 0.6 * torch.randn(rows, 2, generator=noise)
    point = point.clamp(-4, 4)
    sound = torch.cat([point, point.sum(1, keepdim=True).clamp(-4, 4)], 1)
    return {"point": point, "sound": sound, "class": classes}


def world(rows: int = 400, *names: str) -> Dataset:
    """The dataset, or the part of it about ``names`` (default: point and class)."""
    names = names or ("point", "class")
    modalities = tuple(m for m in (POINT, SOUND, CLASS) if m.name in names)
    train, test = part(3 * rows, 0), part(rows, 1)
    return Dataset(
        "world",
        modalities,
        {name: train[name] for name in names},
        {name: test[name] for name in names},
    )


def quadrant(x: Tensor) -> Tensor:
    """Which centre is nearest."""
    return (2 * (x[:, 0] > 0) + (x[:, 1] > 0)).long()


class Truth(Judges):
    """Judges that see the quadrant, and for whom data are their own features."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset, self.label, self.classes = dataset, "class", 4
        self.modalities, self.given = {m.name: m for m in dataset.modalities}, {}

    def classify(self, name: str, x: Tensor) -> Tensor:
        if name == self.label:
            return x if x.dim() == 1 else x.argmax(1)
        return quadrant(x)

    def ceiling(self, name: str) -> float:
        test = self.dataset.test
        seen = self.classify(name, test[name])
        return float((seen == self.classify("class", test["class"])).float().mean())

    def features(self, name: str, x: Tensor, cls: Tensor | None) -> Tensor:
        return x.float() if cls is None else x + 10.0 * cls[:, None]

    def feature_dim(self, name: str, pooled: bool) -> int:
        return {"point": 2, "sound": 3}[name]

    def describe(self) -> dict[str, Any]:
        return {"judges": "truth"}


class Model:
    """Imagines each target by a function of the batch, the same for every sample."""

    name = "function"

    def __init__(
        self, dataset: Dataset, **functions: Callable[[Mapping[str, Tensor]], Tensor]
    ) -> None:
        self.modalities, self.functions = dataset.modalities, functions
        self.most = 0

    def generate(
        self,
        batch: Mapping[str, Tensor],
        targets: list[str],
        *,
        sample: bool = True,
        samples: int | None = None,
        generator: torch.Generator | None = None,
    ) -> dict[str, Tensor]:
        found = {name: self.functions[name](batch) for name in targets}
        self.most = max(self.most, (samples or 1) * len(found[targets[0]]))
        if samples is None:
            return found
        return {name: x.expand(samples, *x.shape) for name, x in found.items()}


def one_hot(classes: Tensor) -> Tensor:
    return torch.eye(4)[classes]


def trained(dataset: Dataset, **options: Any) -> MultimodalVAE:
    """A Nexus that has learnt a little of the world."""
    from nexus_rl import TrainConfig, train

    options = {"latent_dim": 4, "width": 32} | options
    model = make_model("nexus", dataset.modalities, **options)
    config = TrainConfig(
        epochs=8, batch_size=32, learning_rate=3e-3, warmup_epochs=0, device="cpu"
    )
    train(model, dataset.train, config)
    return model.eval()


WORLD = world()


def function(dataset: Dataset = WORLD, **changes: Any) -> Model:
    """Says the quadrant of a point, and puts every class at its centre."""

    def point(batch: Any) -> Tensor:
        return batch["point"] if "point" in batch else CENTRES[batch["class"]]

    def label(batch: Any) -> Tensor:
        return one_hot(quadrant(batch["point"]) if "point" in batch else batch["class"])

    return Model(dataset, **({"point": point, "class": label} | changes))


def measured(
    model: Any, *arguments: Any, dataset: Dataset = WORLD, **more: Any
) -> Report:
    return evaluate_cmi(
        model, dataset, *arguments, **({"judges": Truth(dataset)} | more)
    )


def rows(report: Report) -> dict[str, Row]:
    return {row.direction: row for row in report.rows}


def rows_of(batch: Any) -> int:
    return len(next(iter(batch.values())))
