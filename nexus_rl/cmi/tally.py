"""Counting what judges say, a batch at a time, beside the same of real data."""

from __future__ import annotations

from collections.abc import Collection
from statistics import fmean
from typing import Literal

import torch
from torch import Tensor

from nexus_rl.cmi.frechet import Moments, frechet_distance
from nexus_rl.cmi.judges import Judges
from nexus_rl.data.dataset import Dataset, classes_of
from nexus_rl.draws import seeded

Kind = Literal["class", "pooled"]


class Features:
    """Moments of one modality's features: class by class (paper, Eq. 20), pooled.

    ``kinds`` says which: "class" sees each item through its class's autoencoder,
    "pooled" all through one, as the released code does.
    """

    def __init__(self, judges: Judges, name: str, kinds: Collection[Kind]) -> None:
        self.judges, self.name, self.kinds = judges, name, kinds
        self.pooled = Moments()
        self.by_class = [Moments() for _ in range(judges.classes)]

    def add(self, x: Tensor, classes: Tensor) -> None:
        """Data (B, *shape) and their classes (B,)."""
        if "pooled" in self.kinds:
            self.pooled.add(self.judges.features(self.name, x, None))
        if "class" in self.kinds:
            features = self.judges.features(self.name, x, classes)
            classes = classes.to(features.device)
            for k in set(classes.tolist()):
                self.by_class[k].add(features[classes == k])

    def mfd(self, real: Features, kind: Kind) -> float | None:
        """Fréchet distance from ``real``, averaged over the classes for "class"."""
        if kind not in self.kinds:
            return None
        if kind == "pooled":
            return frechet_distance(real.pooled, self.pooled)
        pairs = zip(real.by_class, self.by_class, strict=True)
        return fmean(frechet_distance(a, b) for a, b in pairs)


class Tally:
    """How many samples of one target are of the right class, and their features.

    All samples are classified; the first of each item enters the features, so that
    there are as many as real test items.
    """

    def __init__(self, judges: Judges, name: str, kinds: Collection[Kind] = ()) -> None:
        self.judges, self.name = judges, name
        self.features = Features(judges, name, kinds)
        self.hits = self.samples = self.items = 0

    def add(self, imagined: Tensor, classes: Tensor) -> None:
        """Samples (S, B, *shape) and the true classes of their items (B,)."""
        seen = self.judges.classify(self.name, imagined.flatten(0, 1))
        right = seen.view(len(imagined), -1) == classes.to(seen.device)
        self.hits += int(right.sum())
        self.samples += right.numel()
        self.items += len(classes)
        self.features.add(imagined[0], classes)

    @property
    def accuracy(self) -> float:
        """Fraction of samples of the right class."""
        return self.hits / self.samples


class Reference:
    """Real data of one target: the classifier's ceiling, features, and the floor.

    The floor is the MFD of training items from the test items: of each class as many
    as the test split has (or all there are), drawn at random.
    """

    def __init__(
        self,
        judges: Judges,
        dataset: Dataset,
        name: str,
        kinds: Collection[Kind],
        batch_size: int,
    ) -> None:
        self.ceiling = judges.ceiling(name)
        kinds = () if is_label(dataset, name) else kinds
        self.features = Features(judges, name, kinds)
        floor = Features(judges, name, kinds)
        classes = classes_of(dataset.test[judges.label])
        like = matched_rows(classes_of(dataset.train[judges.label]), classes)
        for part, rows, features in (
            (dataset.test, torch.arange(len(classes)), self.features),
            (dataset.train, like, floor),
        ):
            for start in range(0, len(rows) if kinds else 0, batch_size):
                chosen = rows[start : start + batch_size]
                label = classes_of(part[judges.label][chosen])
                features.add(part[name][chosen], label)
        self.n, self.n_floor = len(classes), len(like)
        self.floor = {kind: floor.mfd(self.features, kind) for kind in kinds}
        self.d = {kind: judges.feature_dim(name, kind == "pooled") for kind in kinds}


def is_label(dataset: Dataset, name: str) -> bool:
    """Whether modality ``name`` is categorical: then it has no MFD."""
    return any(m.categorical for m in dataset.modalities if m.name == name)


def matched_rows(classes: Tensor, like: Tensor, seed: int = 0) -> Tensor:
    """Random rows of ``classes`` with as many of each class as ``like`` has.

    Where there are fewer, all of them.
    """
    order = torch.randperm(len(classes), generator=seeded(seed))
    counts = like.bincount(minlength=int(classes.max()) + 1)
    rows = [
        order[classes[order] == k][:count] for k, count in enumerate(counts.tolist())
    ]
    return torch.cat(rows)
