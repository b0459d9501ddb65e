"""Which strokes and sounds make a sample, and on which side of the split it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nexus_rl.errors import UserError

Split = Literal["paper", "disjoint"]
Indices = NDArray[np.int64]

CLASSES = 10
ATTEMPTS = 1000


@dataclass(frozen=True)
class Origins:
    """Where items come from: each one's digit and ``group``, its writer or speaker.

    Groups of different ``source`` are split separately.
    """

    digits: Indices
    groups: Sequence[str]
    sources: Sequence[str]

    def indices(self, digit: int) -> Indices:
        """Items of a digit."""
        return np.flatnonzero(self.digits == digit)


@dataclass(frozen=True)
class Part:
    """Rows of a part: digit, exemplar, recording, and number of the copy (0: as it
    was written; from 1 on another variation)."""

    label: Indices
    exemplar: Indices
    copy: Indices
    sound: Indices


def pair(
    strokes: Origins,
    sounds: Origins,
    train: int,
    test: int,
    split: Split,
    rng: np.random.Generator,
) -> tuple[Part, Part]:
    """Shuffled rows for training and testing, as many of each digit as possible.

    Recordings are never shared by both parts. ``split`` "paper" lets writers and
    speakers be on both sides, "disjoint" does not. Each exemplar is used as often as
    the others of its digit, give or take one; so are recordings. Raises ``UserError``
    where a digit lacks the writers, recordings or speakers for it.
    """
    for what, items in (("exemplars", strokes), ("recordings", sounds)):
        for digit in range(CLASSES):
            if len(items.indices(digit)) < 2:
                raise UserError(f"digit {digit} needs at least two {what} to be split")
    share = test / (train + test)
    far_writers = held_out(strokes, share, rng) if split == "disjoint" else None
    far_speakers = held_out(sounds, share, rng) if split == "disjoint" else None
    rows: tuple[list[Indices], list[Indices]] = ([], [])
    for digit in range(CLASSES):
        counts = [len(range(digit, total, CLASSES)) for total in (train, test)]
        drawn = _drawings(strokes.indices(digit), counts, far_writers, rng)
        spoken = _spoken(sounds.indices(digit), counts, share, far_speakers, rng)
        for part, pictures, recordings in zip(rows, drawn, spoken, strict=True):
            labels = np.full(len(recordings), digit)
            part.append(np.column_stack([labels, pictures, recordings]))
    first, second = (
        Part(*rng.permutation(np.concatenate(part)).T.copy()) for part in rows
    )
    return first, second


def held_out(
    items: Origins, share: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A mask of the items whose group is for testing: about ``share`` of the groups.

    Every digit has items on both sides, of as many groups as some attempt finds: few
    people write a 7 in one stroke. Raises ``UserError`` where no such choice was found.
    """
    named = zip(items.sources, items.groups, strict=True)
    groups, place = np.unique([f"{a}/{b}" for a, b in named], return_inverse=True)
    source_of = np.array([group.partition("/")[0] for group in groups])
    has = np.zeros((len(groups), CLASSES), bool)
    has[place, items.digits] = True
    best, most = None, 0
    for _ in range(ATTEMPTS):
        far = np.zeros(len(groups), bool)
        for source in np.unique(source_of):
            mine = np.flatnonzero(source_of == source)
            count = min(max(round(share * len(mine)), 1), len(mine) - 1)
            far[rng.permutation(mine)[:count]] = True
        fewest = min(has[side].sum(0).min() for side in (far, ~far))
        if fewest > most:
            best, most = far, fewest
    if best is not None:
        return best[place]
    raise UserError(
        "found no split with every digit on both sides and no writer or speaker on "
        "both; use more data, or --split paper"
    )


def _drawings(
    pool: Indices,
    counts: Sequence[int],
    far: NDArray[np.bool_] | None,
    rng: np.random.Generator,
) -> list[Indices]:
    """(exemplar, copy) for each row of both parts: exemplars take turns."""

    def turns(exemplars: Indices, count: int) -> Indices:
        k = np.arange(count)
        order = rng.permutation(exemplars)
        return np.column_stack([order[k % len(order)], k // len(order)])

    if far is None:
        drawn = rng.permutation(turns(pool, sum(counts)))
        return [drawn[: counts[0]], drawn[counts[0] :]]
    sides = (pool[~far[pool]], pool[far[pool]])
    return [turns(side, count) for side, count in zip(sides, counts, strict=True)]


def _spoken(
    pool: Indices,
    counts: Sequence[int],
    share: float,
    far: NDArray[np.bool_] | None,
    rng: np.random.Generator,
) -> list[Indices]:
    """Recordings for each row of both parts: each in turn, shuffled every time."""
    if far is None:
        order = rng.permutation(pool)
        last = min(max(round(share * len(pool)), 1), len(pool) - 1)
        sides = [order[last:], order[:last]]
    else:
        sides = [pool[~far[pool]], pool[far[pool]]]
    return [
        np.concatenate(
            [rng.permutation(side) for _ in range(-(-count // len(side)))] or [side[:0]]
        )[:count]
        for side, count in zip(sides, counts, strict=True)
    ]
