"""Pen strokes of digits: UJI Pen Characters v2, brought to 100 points each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nexus_rl.data.files import read_unzipped
from nexus_rl.errors import UserError

POINTS = 100
SMOOTHING = 3.0  # samples
LEAST_POINTS = 4  # of a cubic
# Decimals of weights, which processors' exponentials agree on. What follows is
# arithmetic alone, the same everywhere, for some fits turn on the last bit of a point.
EXACT = 14

Points = NDArray[np.float64]

_WORD = re.compile(r"WORD (\S+) (\S+_W(\d+)-\d+)")
_ADVICE = (
    "Expected the text of UJI Pen Characters v2 (ujipenchars2.txt of data set 177 of "
    "the UCI repository), plain or gzipped"
)


@dataclass(frozen=True, eq=False)
class Exemplar:
    """A digit as somebody wrote it: ``session`` names writer and repetition.

    ``strokes`` are arrays (n, 2) of x to the right and y downwards.
    """

    digit: int
    session: str
    writer: int
    strokes: tuple[Points, ...]


def read_uji(path: Path) -> list[Exemplar]:
    """The digits of a file of UJI Pen Characters v2, in its order.

    Raises ``UserError`` that names the line which is not as expected, and where the
    file holds no digits.
    """
    # Signs and letters of other encodings are not read.
    text = bytes(read_unzipped(path, _ADVICE)).decode(errors="replace")
    numbered = enumerate(text.splitlines(), 1)
    lines = (
        (number, line.strip())
        for number, line in numbered
        if line.strip() and not line.lstrip().startswith("//")
    )
    found = [one for one in _words(lines, path) if one is not None]
    if not found:
        raise UserError(f"{path} holds no digits. {_ADVICE}")
    return found


def _words(lines: Iterator[tuple[int, str]], path: Path) -> Iterator[Exemplar | None]:
    for number, line in lines:
        word = _WORD.fullmatch(line)
        if word is None:
            raise _unexpected(path, number, line, "WORD <character> <session>")
        strokes = tuple(
            _stroke(lines, path) for _ in range(_count(lines, path, "NUMSTROKES"))
        )
        character, session, writer = word.groups()
        is_digit = len(character) == 1 and character in "0123456789"
        yield (
            Exemplar(int(character), session, int(writer), strokes)
            if is_digit
            else None
        )


def _count(lines: Iterator[tuple[int, str]], path: Path, what: str) -> int:
    number, line = next(lines, (0, ""))
    found = re.fullmatch(rf"{what} (\d{{1,9}})", line)
    if found is None:
        raise _unexpected(path, number, line, f"{what} <number>")
    return int(found[1])


def _stroke(lines: Iterator[tuple[int, str]], path: Path) -> Points:
    number, line = next(lines, (0, ""))
    found = re.fullmatch(r"POINTS (\d{1,9}) #((?: -?\d+)*)", line)
    values = found[2].split() if found else []
    if found is None or len(values) != 2 * int(found[1]):
        raise _unexpected(path, number, line, "POINTS <n> # and 2 n coordinates")
    return np.array(values, dtype=np.float64).reshape(-1, 2)


def _unexpected(path: Path, number: int, line: str, expected: str) -> UserError:
    where = f"line {number}" if number else "the end"
    shown = f", found {line[:60]!r}" if number else ""
    return UserError(f"{path}, {where}: expected {expected}{shown}. {_ADVICE}")


def one_stroke(exemplars: list[Exemplar]) -> list[Exemplar]:
    """Those written without lifting the pen, with enough points for a curve."""
    return [
        one
        for one in exemplars
        if len(one.strokes) == 1 and len(one.strokes[0]) >= LEAST_POINTS
    ]


def trajectory(stroke: Points) -> Points:
    """A stroke (n, 2) as (100, 2): centred, scaled, smoothed and resampled.

    The mean of its points is zero and its greatest coordinate 1 (before smoothing by a
    Gaussian of 3 samples); the points are those of a cubic spline at equal steps of the
    original sampling. Raises ``UserError`` for a stroke without extent.
    """
    centred = stroke - stroke.mean(0)
    largest = centred.max()
    if largest <= 0:
        raise UserError("a stroke whose points are all the same has no shape")
    smooth = _smooth(centred / largest, SMOOTHING)
    return spline(smooth, np.linspace(0, 1, POINTS))


def _smooth(points: Points, sigma: float) -> Points:
    """A Gaussian filter along the first axis; the ends are mirrored."""
    reach = round(4 * sigma)
    offsets = np.arange(-reach, reach + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    weights = (weights / weights.sum()).round(EXACT)
    mirrored = np.pad(points, ((reach, reach), (0, 0)), mode="symmetric")
    smooth = np.zeros_like(points)
    for k, weight in enumerate(weights):
        smooth += weight * mirrored[k : k + len(points)]
    return smooth


def spline(points: Points, at: Points) -> Points:
    """The cubic spline through ``points`` (n, d), n > 3, at equally spaced knots.

    ``at`` (m,) in [0, 1] is where it is read, 0 the first point and 1 the last. Its
    third derivative is continuous at the outermost inner knots ("not a knot").
    """
    second = _second_derivatives(points)
    place = at * (len(points) - 1)
    k = np.minimum(place.astype(int), len(points) - 2)
    after = (place - k)[:, None]
    before = 1 - after
    read: Points = (
        before * points[k]
        + after * points[k + 1]
        + (before * before * before - before) * second[k] / 6
        + (after * after * after - after) * second[k + 1] / 6
    )
    return read


def _second_derivatives(points: Points) -> Points:
    """Those of the spline at its knots, by elimination and substitution."""
    n = len(points)
    second = np.zeros_like(points)
    second[1:-1] = 6 * np.diff(points, 2, axis=0)
    # At the outermost inner knots both neighbours together are twice the middle.
    second[[1, -2]] /= 6
    pivots = np.zeros(n)
    for k in range(2, n - 2):
        pivots[k] = 1 / (4 - pivots[k - 1])
        second[k] = (second[k] - second[k - 1]) * pivots[k]
    for k in range(n - 3, 1, -1):
        second[k] -= pivots[k] * second[k + 1]
    second[0] = 2 * second[1] - second[2]
    second[-1] = 2 * second[-2] - second[-3]
    return second
