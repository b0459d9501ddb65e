"""What several runs say together, with both kinds of spread, named."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from statistics import fmean, pstdev, stdev
from typing import Any

from nexus_rl.cmi.report import Report, Row
from nexus_rl.errors import UserError

MEASURES = ("accuracy", "accuracy_means", "mfd_class", "mfd_pooled")


@dataclass(frozen=True)
class Spread:
    """A mean over seeds and directions, and how far they are apart in two senses.

    ``over_seeds`` is the standard deviation (n - 1) of the seeds' means, None for one
    seed: what another seed would change. ``pooled`` is the population standard
    deviation of all values, directions and seeds together, as the paper's tables give
    it: mostly how much directions differ.
    """

    mean: float
    over_seeds: float | None
    pooled: float
    seeds: int
    directions: int

    @classmethod
    def of(cls, values: Sequence[Sequence[float]]) -> Spread:
        """Of ``values[seed][direction]``. Raises ``UserError`` if ragged or empty."""
        sizes = {len(row) for row in values}
        if len(sizes) != 1 or sizes == {0}:
            raise UserError(
                "a spread needs the same directions of every seed, got "
                f"{[len(row) for row in values]} values"
            )
        means = [fmean(row) for row in values]
        return cls(
            fmean(means),
            stdev(means) if len(means) > 1 else None,
            pstdev(chain.from_iterable(values)),
            len(means),
            sizes.pop(),
        )


def over_seeds(
    reports: Sequence[Report], by: Iterable[str] = ("kind", "given_count", "target")
) -> list[dict[str, Any]]:
    """One record a group of rows: its fields ``by``, and a ``Spread`` a measure.

    Every model of every report counts as one run (a seed). ``by`` names fields of
    ``Row``, or "given_count", the number of modalities given: ("given", "target") keeps
    each direction apart, ("kind",) gives the columns of the paper's Table 2, and
    ("kind", "given_count", "target") those of Table 3. MFDs of different targets have
    different units: a group that holds several has None. Raises ``UserError`` unless
    all runs have the same directions.
    """
    by = tuple(by)
    runs = [
        [row for row in report.rows if row.model == model]
        for report in reports
        for model in report.models
    ]
    if not runs:
        raise UserError("no runs to aggregate: the reports are empty")
    directions = [{(row.given, row.target) for row in run} for run in runs]
    if any(each != directions[0] for each in directions):
        raise UserError("the runs were not measured in the same directions")
    keys = dict.fromkeys(_key(row, by) for row in runs[0])
    groups = [
        (key, [[row for row in run if _key(row, by) == key] for run in runs])
        for key in keys
    ]
    return [
        dict(zip(by, key, strict=True)) | {m: _spread(rows, m) for m in MEASURES}
        for key, rows in groups
    ]


def _key(row: Row, by: tuple[str, ...]) -> tuple[Any, ...]:
    fields = vars(row) | {"given_count": len(row.given)}
    unknown = [name for name in by if name not in fields]
    if unknown:
        raise UserError(
            f"cannot group by {', '.join(unknown)}; known: {', '.join(fields)}"
        )
    return tuple(fields[name] for name in by)


def _spread(runs: Sequence[Sequence[Row]], measure: str) -> Spread | None:
    measured = [
        [row for row in run if getattr(row, measure) is not None] for run in runs
    ]
    targets = {row.target for run in measured for row in run}
    if not targets or (measure.startswith("mfd") and len(targets) > 1):
        return None
    return Spread.of([[getattr(row, measure) for row in run] for run in measured])
