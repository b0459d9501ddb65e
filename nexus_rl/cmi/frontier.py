"""Accuracy against diversity: what a model's own noise, and its bottoms, allow.

A top decoder gives means, which are prototypes: often right, and too much alike. With
its calibrated noise they spread, and more of them are wrong. A better model moves the
whole line of points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from nexus_rl.cmi.evaluate import chosen, prepare
from nexus_rl.cmi.frechet import Moments
from nexus_rl.cmi.imaginer import Batch, Imagination, Imaginer
from nexus_rl.cmi.judges import Judges
from nexus_rl.cmi.report import Point
from nexus_rl.cmi.tally import is_label
from nexus_rl.data.dataset import Dataset, classes_of
from nexus_rl.draws import Draws, seeded
from nexus_rl.errors import UserError
from nexus_rl.models.core import MultimodalVAE

NOISE = (0.5, 1.0)


def evaluate_frontier(
    model: Imaginer,
    dataset: Dataset,
    target: str,
    *,
    given: Sequence[str] | None = None,
    noise: Sequence[float] = NOISE,
    judges: Judges | None = None,
    samples: int = 10,
    name: str | None = None,
    seed: int = 0,
    batch_size: int = 2000,
    progress: bool = False,
) -> tuple[Point, ...]:
    """Accuracy and class MFD of ``target`` imagined from ``given`` in several ways.

    ``given`` is the label by default. First the model as it is: the mean of its last
    decoder. A two-level model of this library is also measured with multiples
    ``noise`` of the noise of its top decoder added to the code (``code_noise``), and
    with what its bottom level allows: reconstructions of the test items themselves,
    and of other, training items of the same class, which is what a perfect top level
    would make of a label, at full diversity; and a baseline without a top level, a
    Gaussian fitted to the codes of each class. Last, real test items: the classifier's
    ceiling and the MFD's floor. Options and errors are those of ``evaluate_cmi``.
    """
    imagination = Imagination(model, dataset)
    known = list(imagination.modalities)
    (target,) = chosen([target], known)
    if is_label(dataset, target):
        raise UserError(f"{target!r} is a label: it has no MFD; choose another target")
    judges = judges or Judges.of(
        dataset, device=str(imagination.device), progress=progress
    )
    measure = prepare(dataset, [target], judges, samples, ["class"], seed, batch_size)
    given = chosen([judges.label] if given is None else given, known)
    candidates = [_Candidate("imagined", "mean", model, given, 0.0)]
    if isinstance(model, MultimodalVAE) and model.config.levels == 2:
        std = code_noise(model, dataset, given, target, seed, batch_size)
        candidates += [
            _Candidate(
                "imagined", f"noise {k:g}", _Noisy(model, target, k * std), given, k
            )
            for k in noise
        ]
        candidates += _from_bottoms(
            model, dataset, target, judges.label, seed, batch_size
        )
    name, points = name or imagination.name, []
    for each in candidates:
        source = {tuple(each.given): [target]}
        (row,) = measure.rows(
            Imagination(each.imaginer, dataset), source, name, progress
        )
        told = (name, tuple(given), target, each.kind, each.what, each.noise)
        points.append(Point(*told, row.accuracy, _known(row.mfd_class)))
    real = (name, tuple(given), target, "real", "real", None)
    return (*points, Point(*real, row.ceiling, _known(row.floor_class)))


class _Candidate(NamedTuple):
    """A way to make data of the target: what does it, and from which modalities."""

    kind: str
    what: str
    imaginer: Imaginer
    given: Sequence[str]
    noise: float | None = None


def _from_bottoms(
    model: MultimodalVAE,
    dataset: Dataset,
    target: str,
    label: str,
    seed: int,
    batch_size: int,
) -> list[_Candidate]:
    """What the bottom level allows."""
    others = _Others(model, target, dataset, label)
    fitted = _ClassGaussians(model, target, dataset, label, seed, batch_size)
    return [
        _Candidate("reconstruction", "bottom", _Bottom(model, target), [target]),
        _Candidate("reconstruction", "bottom, others", others, [label]),
        _Candidate("baseline", "class Gaussian", fitted, [label]),
    ]


def _known(mfd: float | None) -> float:
    assert mfd is not None  # the class MFD was asked for
    return mfd


@torch.inference_mode()
def code_noise(
    model: MultimodalVAE,
    dataset: Dataset,
    given: Sequence[str],
    target: str,
    seed: int = 0,
    batch_size: int = 2000,
) -> Tensor:
    """The calibrated noise of a top decoder: a standard deviation a code dimension.

    That of the difference between samples of the bottom posterior of ``target`` and
    the top decoder's output with ``given`` given, on the training split: (code_dim,).
    """
    model.eval()
    residuals = Moments()
    noise = seeded(seed, device=model.device)
    for rows, code in _codes(model, dataset, target, noise, batch_size):
        source = {name: dataset.train[name][rows] for name in given}
        z = model.encode(source, sample=True, generator=noise)
        residuals.add(code - model.top_decoders[target](z))
    return residuals.cov.diagonal().sqrt().to(model.device, torch.float32)


def _codes(
    model: MultimodalVAE,
    dataset: Dataset,
    target: str,
    noise: torch.Generator,
    batch_size: int,
) -> Iterator[tuple[slice, Tensor]]:
    """Training rows, batch by batch, with samples of their bottom posteriors."""
    bottom, data = dict(model.bottom_items())[target], dataset.train[target]
    for start in range(0, len(data), batch_size):
        rows = slice(start, start + batch_size)
        x = bottom.modality.normalise(data[rows].to(model.device))
        yield rows, bottom.code(bottom.encode(x), Draws(noise))


class _Way:
    """An imaginer that stands on parts of ``model``, for one target."""

    def __init__(self, model: MultimodalVAE, target: str) -> None:
        self.model, self.target = model, target
        self.modalities, self.device = model.modalities, model.device
        self.bottom = dict(model.bottom_items())[target]


class _Noisy(_Way):
    """The model with noise of deviation ``std`` (code_dim,) on its top decoder."""

    def __init__(self, model: MultimodalVAE, target: str, std: Tensor) -> None:
        super().__init__(model, target)
        self.std = std

    def generate(
        self, batch: Batch, targets: Sequence[str], generator: torch.Generator
    ) -> dict[str, Tensor]:
        z = self.model.encode(batch, sample=True, generator=generator)
        code = self.model.top_decoders[self.target](z)
        code = code + self.std * Draws(generator).normal(code)
        return {self.target: self.bottom.decode(code).float()}


class _Bottom(_Way):
    """Reconstructions by the bottom level alone."""

    def generate(
        self, batch: Batch, targets: Sequence[str], generator: torch.Generator
    ) -> dict[str, Tensor]:
        return self.model.reconstruct(batch, generator=generator)


class _Others(_Bottom):
    """The same of a training item, drawn at random from those of the same class."""

    def __init__(
        self, model: MultimodalVAE, target: str, dataset: Dataset, label: str
    ) -> None:
        super().__init__(model, target)
        self.label, self.data = label, dataset.train[target]
        classes = classes_of(dataset.train[label])
        self.order, self.count = classes.argsort(), classes.bincount()

    def generate(
        self, batch: Batch, targets: Sequence[str], generator: torch.Generator
    ) -> dict[str, Tensor]:
        classes = classes_of(batch[self.label])
        place = Draws(generator).uniform(len(classes), 1, classes.device)[:, 0]
        first = self.count.cumsum(0) - self.count
        chosen = first[classes] + (place * self.count[classes]).long()
        data = {self.target: self.data[self.order[chosen]]}
        return super().generate(data, targets, generator)


class _ClassGaussians(_Way):
    """Codes from a Gaussian with full covariance a class, through the bottom."""

    @torch.inference_mode()
    def __init__(
        self,
        model: MultimodalVAE,
        target: str,
        dataset: Dataset,
        label: str,
        seed: int,
        batch_size: int,
    ) -> None:
        super().__init__(model, target)
        self.label = label
        classes = classes_of(dataset.train[label])
        fitted = [Moments() for _ in range(int(classes.max()) + 1)]
        noise = seeded(seed, device=model.device)
        for rows, code in _codes(model, dataset, target, noise, batch_size):
            for k, moments in enumerate(fitted):
                moments.add(code[(classes[rows] == k).to(code.device)])
        means, roots = [], []
        for moments in fitted:
            values, vectors = torch.linalg.eigh(moments.cov)
            means.append(moments.mean)
            roots.append(vectors * values.clamp(min=0).sqrt())
        self.means = torch.stack(means).to(model.device, torch.float32)
        self.roots = torch.stack(roots).to(model.device, torch.float32)

    def generate(
        self, batch: Batch, targets: Sequence[str], generator: torch.Generator
    ) -> dict[str, Tensor]:
        classes = classes_of(batch[self.label]).to(self.device)
        mean = self.means[classes]
        noise = Draws(generator).normal(mean)[:, :, None]
        code = mean + (self.roots[classes] @ noise).squeeze(2)
        return {self.target: self.bottom.decode(code).float()}
