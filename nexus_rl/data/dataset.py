"""A dataset: aligned tensors of several modalities, kept compact in memory."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from nexus_rl.errors import UserError, choose
from nexus_rl.modality import Modality


@dataclass(frozen=True, eq=False)
class Dataset:
    """Aligned samples of several modalities, for training and for testing.

    ``train`` and ``test`` map each modality's name to a tensor ``(N, *shape)``, or
    ``(N,)`` for classes; row i of every tensor is the same sample. Tensors keep the
    type they are stored in (``uint8`` images and classes) and become float a batch at
    a time through ``Modality.normalise``. ``classes`` names the classes of the
    categorical modality; ``origin`` tells where the data are from, for JSON. Raises
    ``UserError`` if names, lengths, shapes or ranges do not fit together.
    """

    name: str
    modalities: tuple[Modality, ...]
    train: dict[str, Tensor] = field(repr=False)
    test: dict[str, Tensor] = field(repr=False)
    classes: tuple[str, ...] = ()
    origin: dict[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        names = [modality.name for modality in self.modalities]
        if not names or len(set(names)) < len(names):
            raise UserError(
                f"dataset {self.name!r}: modalities need distinct names, got {names}"
            )
        for modality in self.modalities:
            if (
                modality.categorical
                and self.classes
                and modality.shape != (len(self.classes),)
            ):
                raise UserError(
                    f"dataset {self.name!r}: {len(self.classes)} class names for the "
                    f"{modality.shape[0]} classes of modality {modality.name!r}"
                )
        self._check(self.train, "train")
        self._check(self.test, "test")

    def _check(self, tensors: dict[str, Tensor], part: str) -> None:
        where = f"dataset {self.name!r}, {part}"
        names = {modality.name for modality in self.modalities}
        if set(tensors) != names:
            raise UserError(
                f"{where}: expected tensors named {sorted(names)}, "
                f"got {sorted(tensors)}"
            )
        for modality in self.modalities:
            try:
                modality.check_range(tensors[modality.name])
            except UserError as error:
                raise UserError(f"{where}: {error}") from None
        lengths = {name: len(tensor) for name, tensor in tensors.items()}
        if len(set(lengths.values())) > 1:
            raise UserError(
                f"{where}: every modality must have the same number of samples, "
                f"got {lengths}"
            )

    def split(self, seed: int, fraction: float = 0.1) -> tuple[Tensor, Tensor]:
        """Indices into ``train``: ``(for training, for validation)``.

        The paper's split: of a permutation seeded by the run, the first ``fraction``
        (rounded to whole samples) validates and the rest trains. Both are int64. The
        global random state is neither read nor changed. Raises ``UserError`` if
        ``fraction`` is outside [0, 1).
        """
        samples = len(self.train[self.modalities[0].name])
        return split_rows(samples, seed, fraction)

    def head(self, n_train: int, n_test: int) -> Dataset:
        """The first ``n_train`` and ``n_test`` samples (at most), without copying.

        Raises ``UserError`` if either number is below 1.
        """
        if min(n_train, n_test) < 1:
            raise UserError(
                f"head needs at least one sample of each part, got {n_train}, {n_test}"
            )
        return replace(
            self,
            train={name: tensor[:n_train] for name, tensor in self.train.items()},
            test={name: tensor[:n_test] for name, tensor in self.test.items()},
        )

    def select(self, names: Sequence[str]) -> Dataset:
        """The same samples with these modalities alone, in their order here, uncopied.

        Raises ``UserError`` for unknown names.
        """
        known = {modality.name: modality for modality in self.modalities}
        for name in names:
            choose(name, known, f"modality of dataset {self.name!r}:")
        return replace(
            self,
            modalities=tuple(known[name] for name in known if name in names),
            train={name: x for name, x in self.train.items() if name in names},
            test={name: x for name, x in self.test.items() if name in names},
        )

    def without(self, names: Collection[str]) -> Dataset:
        """The same samples with all modalities but these."""
        return self.select([m.name for m in self.modalities if m.name not in names])

    def distinct(self, name: str) -> tuple[Tensor, Tensor]:
        """The training rows of modality ``name`` without repeats: ``(first, place)``.

        ``first`` (D,) has the row at which each value comes first, ``place`` (N,) says
        for every row which of these it equals. Both are int64.
        """
        return distinct_rows(self.train[name])

    def once(self, name: str) -> Dataset:
        """Modality ``name`` alone, with each distinct training row once.

        Raises ``UserError`` for an unknown name.
        """
        part = self.select([name])
        first, _ = part.distinct(name)
        return replace(part, train={name: part.train[name][first]})


def distinct_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """``Dataset.distinct`` for any rows (N, ...)."""
    places: dict[bytes, int] = {}
    first: list[int] = []
    place: list[int] = []
    for row, values in enumerate(x.cpu().numpy()):
        at = places.setdefault(values.tobytes(), len(places))
        if at == len(first):
            first.append(row)
        place.append(at)
    return torch.tensor(first), torch.tensor(place)


def split_rows(rows: int, seed: int, fraction: float) -> tuple[Tensor, Tensor]:
    """``Dataset.split`` for any number of rows."""
    if not 0 <= fraction < 1:
        raise UserError(f"the share set aside must be in [0, 1), got {fraction}")
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    first = round(fraction * rows)
    return order[first:], order[:first]


def classes_of(label: Tensor) -> Tensor:
    """Classes (B,), int64, of a label given as classes or one-hot rows."""
    return label.long() if label.dim() == 1 else label.argmax(1)
