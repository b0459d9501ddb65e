"""A report of cross-modality inference: tidy records, a table, JSON, a plot.

Free of torch, so that pages can be made from JSON alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from nexus_rl.errors import UserError, choose
from nexus_rl.files import sealed, unsealed


@dataclass(frozen=True)
class Row:
    """What is imagined of ``target`` when ``given`` is given.

    ``kind``: "single" (the target from itself alone), "joint" (from everything),
    "cross" (without the target), or "partial" (from itself and some others). Accuracies
    are fractions of 1: with latents sampled, and with posterior means; ``ceiling`` is
    the classifier's on real test items. Each MFD stands with its ``floor``, that of
    real training items; both have ``n`` or ``n_floor`` items in all and features of
    size ``d``. What was not measured is None.
    """

    model: str
    given: tuple[str, ...]
    target: str
    kind: str
    accuracy: float
    accuracy_means: float | None
    ceiling: float
    mfd_class: float | None = None
    floor_class: float | None = None
    d_class: int | None = None
    mfd_pooled: float | None = None
    floor_pooled: float | None = None
    d_pooled: int | None = None
    n: int | None = None
    n_floor: int | None = None

    @property
    def direction(self) -> str:
        """For people: ``image, label -> image``."""
        return f"{', '.join(self.given)} -> {self.target}"


@dataclass(frozen=True)
class Coherence:
    """How often all ``modalities`` of ``n`` joint samples of the prior agree.

    ``agreement`` is the fraction in which the judges see the same class in each.
    """

    model: str
    modalities: tuple[str, ...]
    agreement: float
    n: int


@dataclass(frozen=True)
class Point:
    """Accuracy and class MFD of one way to make ``target`` (see ``evaluate_frontier``).

    ``noise`` is the multiple of the calibrated noise added, None where there is none
    to add: for ``kind`` "real" and "reconstruction", the ceilings, and "baseline".
    """

    model: str
    given: tuple[str, ...]
    target: str
    kind: str
    what: str
    noise: float | None
    accuracy: float
    mfd_class: float


@dataclass(frozen=True)
class Report:
    """What ``evaluate_cmi`` measured, of one model or, joined, of several.

    ``settings`` and ``judges`` say how; ``runs`` may hold notes by model.
    """

    settings: dict[str, Any]
    judges: dict[str, Any]
    rows: tuple[Row, ...]
    coherence: tuple[Coherence, ...] = ()
    frontier: tuple[Point, ...] = ()
    runs: dict[str, Any] = field(default_factory=dict)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in the order of the rows."""
        return tuple(dict.fromkeys(row.model for row in self.rows))

    def of(self, model: str) -> Report:
        """The part about one model. Raises ``UserError`` if there is none."""
        choose(model, dict.fromkeys(self.models), "model")
        return replace(
            self,
            rows=tuple(each for each in self.rows if each.model == model),
            coherence=tuple(each for each in self.coherence if each.model == model),
            frontier=tuple(each for each in self.frontier if each.model == model),
            runs={name: run for name, run in self.runs.items() if name == model},
        )

    @classmethod
    def join(cls, reports: Sequence[Report]) -> Report:
        """One report of all models. Raises ``UserError`` if they do not compare."""
        if not reports:
            raise UserError("no reports to join")
        first = reports[0]
        names = [name for report in reports for name in report.models]
        if len(set(names)) < len(names):
            raise UserError(f"models need distinct names, got {', '.join(names)}")
        for report in reports[1:]:
            check_same(first, report)
        return cls(
            first.settings,
            first.judges,
            tuple(row for report in reports for row in report.rows),
            tuple(each for report in reports for each in report.coherence),
            tuple(point for report in reports for point in report.frontier),
            {name: run for report in reports for name, run in report.runs.items()},
        )

    def to_json(self) -> str:
        """Strict JSON; numbers that are not finite, such as lost losses, are null."""
        content = sealed(_strict(asdict(self)))
        return json.dumps(content, indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Report:
        """The report that ``to_json`` wrote. Raises ``UserError`` for other texts."""
        try:
            content = json.loads(text, parse_constant=_not_strict)
            found, _ = unsealed(content, "it")
            return cls(
                found["settings"],
                found["judges"],
                tuple(Row(**_with_tuples(row)) for row in found["rows"]),
                tuple(Coherence(**_with_tuples(row)) for row in found["coherence"]),
                tuple(Point(**_with_tuples(row)) for row in found["frontier"]),
                found["runs"],
            )
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise UserError(
                f"this is not the JSON of a report of evaluate_cmi: {error}"
            ) from None

    def table(self) -> str:
        """The figures in Markdown."""
        from nexus_rl.cmi.pages import table

        return table(self)

    def plot(self) -> bytes:
        """Accuracy and MFD of every direction and model, as a PNG."""
        from nexus_rl.cmi.figure import plot

        return plot(self)


def check_same(first: Report, other: Report) -> None:
    """Raises ``UserError`` unless both were measured alike, by the same judges."""
    for what, a, b in (
        ("settings", first.settings, other.settings),
        ("judges", first.judges, other.judges),
    ):
        for key in [*a, *b]:
            if a.get(key) != b.get(key):
                raise UserError(
                    f"reports do not compare: {what} differ in {key}, of "
                    f"{', '.join(first.models)} and {', '.join(other.models)}"
                )


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(each) for each in value]
    lost = isinstance(value, float) and not math.isfinite(value)
    return None if lost else value


def _not_strict(constant: str) -> None:
    raise ValueError(f"{constant} is not strict JSON")


def _with_tuples(row: dict[str, Any]) -> dict[str, Any]:
    return {k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}
