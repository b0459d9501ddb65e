"""Evaluations of agents as tables, CSV, JSON and plots.

Free of torch, so that pages can be made from JSON alone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING

from agents import plots
from agents.conditions import EVERYTHING
from agents.results import Evaluation
from agents.scores import Estimate, Score, Scores
from nexus_rl.errors import UserError
from nexus_rl.files import write_atomic

if TYPE_CHECKING:
    from agents.scores import Overall

FILES = (
    *("evaluation.json", "evaluation.csv", "evaluation.md"),
    *("returns.png", "drop_rates.png"),
)


def write(evaluation: Evaluation, folder: Path) -> tuple[Path, ...]:
    """Write the table, the rows and the plots into ``folder``; returns the files.

    "evaluation.json" comes last and holds all that the others are made from.
    "drop_rates.png" is written where drop rates were measured. Files of an earlier
    evaluation are replaced.
    """
    scores = Scores(evaluation)
    curve = plots.drop_rates(scores)
    contents = {
        "evaluation.md": page(evaluation).encode(),
        "evaluation.csv": evaluation.to_csv().encode(),
        "returns.png": plots.returns(scores),
        **({} if curve is None else {"drop_rates.png": curve}),
        "evaluation.json": evaluation.to_json().encode(),
    }
    for name in FILES:
        if name not in contents:
            (folder / name).unlink(missing_ok=True)
    for name, content in contents.items():
        write_atomic(folder / name, content)
    return tuple(folder / name for name in contents)


def read(folder: Path) -> Evaluation:
    """The evaluation that ``write`` left in ``folder``. Raises ``UserError``."""
    path = folder / "evaluation.json"
    try:
        return Evaluation.from_json(path.read_text())
    except OSError:
        raise UserError(f"no evaluation of agents at {path}") from None
    except ValueError as error:
        raise UserError(f"{path} cannot be read: {error}") from None


def page(evaluation: Evaluation) -> str:
    """Tables in Markdown: returns and scores by condition, then over conditions."""
    scores = Scores(evaluation)
    parts = [
        _introduction(scores),
        "## Over all conditions",
        _over_conditions(scores),
        "## Return of an episode",
        _by_condition(
            scores, lambda score: score.returns, _form(scores), _missing(evaluation)
        ),
        "Missing: the measured share of an episode's steps. It differs from a nominal "
        "rate, for a stack of frames is there again only when all of them are fresh, "
        "and one sensor is always left but in a blackout.",
    ]
    if scores.comparable:
        parts += [
            "## Normalised score (random 0, oracle 1)",
            _by_condition(scores, lambda score: score.normalised, ".2f"),
        ]
    if scores.random is not None and EVERYTHING in evaluation.conditions:
        parts += [
            "## Retained of the score with everything",
            _by_condition(scores, lambda score: score.retained, ".0%"),
        ]
    return "\n\n".join(parts) + "\n"


def _introduction(scores: Scores) -> str:
    evaluation = scores.evaluation
    kwargs = "".join(f" {k}={v}" for k, v in evaluation.env_kwargs.items())
    seeds = ", ".join(map(str, evaluation.seeds))
    plural = "s" * (len(evaluation.seeds) > 1)
    return "\n\n".join(
        [
            f"# Agents on {evaluation.env}{kwargs}",
            f"{evaluation.episodes} episodes a condition and seed, the same for every "
            f"agent; evaluation seed{plural} {seeds}. {_counts(evaluation)}",
            *_references(scores),
        ]
    )


def _counts(evaluation: Evaluation) -> str:
    """How many training seeds the means are over."""
    counts = {name: len(evaluation.methods[name]) for name in evaluation.compared}
    if max(counts.values()) == 1:
        return "One training seed each, so there are no intervals."
    told = ", ".join(f"{method} {count}" for method, count in counts.items())
    return (
        f"Means over training seeds ({told}) with bootstrap 95 % intervals over them; "
        "one seed has no interval, and that of two or three is their range."
    )


def _references(scores: Scores) -> list[str]:
    """What random and oracle reach, if they were measured."""
    evaluation, form = scores.evaluation, _form(scores)
    told = []
    if scores.random is not None:
        told.append(f"Random actions: {scores.random:{form}}.")
    if scores.oracle is not None:
        count = len(evaluation.methods[str(evaluation.oracle)])
        several = f", mean of {count}" * (count > 1)
        told.append(f"Oracle ({evaluation.oracle}{several}): {scores.oracle:{form}}.")
    if len(told) == 2 and not scores.comparable:
        told.append("That is not above random, so no score is normalised.")
    return [" ".join(told)] if told else []


def _by_condition(
    scores: Scores,
    of: Callable[[Score], Estimate | None],
    form: str,
    missing: Mapping[str, str] | None = None,
) -> str:
    methods = scores.evaluation.compared
    rows = []
    for name, group in scores.evaluation.conditions.items():
        cells = []
        for method in methods:
            score = scores.of(method, name)
            cells.append(show(None if score is None else of(score), form))
        rows.append([name, group, *([missing[name]] if missing else []), *cells])
    head = ["condition", "group", *(["missing"] if missing else []), *methods]
    return _table(head, rows)


def _missing(evaluation: Evaluation) -> dict[str, str]:
    """The mean share of an episode without each sensor, of those that are missed."""
    shares: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for row in evaluation.rows:
        for sensor, there in row["available"].items():
            shares[row["condition"]][sensor].append(1 - there)
    cells = {}
    for condition, known in shares.items():
        missed = {sensor: fmean(each) for sensor, each in known.items() if any(each)}
        told = ", ".join(f"{sensor} {share:.0%}" for sensor, share in missed.items())
        cells[condition] = told or "–"
    return cells


def _over_conditions(scores: Scores) -> str:
    head = ["agent", "training seeds", EVERYTHING, "worst condition", "its return"]
    every = [scores.overall(method) for method in scores.evaluation.compared]
    curve = any(overall.area is not None for overall in every)
    head += ["mean over drop rates"] * curve
    head += ["normalised over drop rates"] * (curve and scores.comparable)
    rows = [_overall_cells(scores, overall)[: len(head)] for overall in every]
    return _table(head, rows)


def _overall_cells(scores: Scores, overall: Overall) -> list[str]:
    whole = scores.of(overall.method, EVERYTHING)
    form = _form(scores)
    return [
        overall.method,
        str(overall.worst.returns.count),
        show(None if whole is None else whole.returns, form),
        overall.worst.condition,
        show(overall.worst.returns, form),
        show(overall.area, form),
        show(overall.area_normalised, ".2f"),
    ]


def _form(scores: Scores) -> str:
    """How returns are written: three digits, or more where they are large."""
    largest = max(abs(row["return"]) for row in scores.evaluation.rows)
    return ".1f" if largest >= 10 else ".2f"


def show(estimate: Estimate | None, form: str) -> str:
    """The mean, and its interval if there is one; a dash for None.

    Example:
    >>> show(Estimate(-180.04, -200.0, -160.0, 3), ".1f")
    '-180.0 [-200.0, -160.0]'
    """
    if estimate is None:
        return "–"
    if estimate.low is None:
        return f"{estimate.mean:{form}}"
    return f"{estimate.mean:{form}} [{estimate.low:{form}}, {estimate.high:{form}}]"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, aligned for those who read it as text."""
    columns = list(zip(head, *rows, strict=True))
    widths = [max(map(len, column)) for column in columns]
    words = [not any(_number(cell) for cell in column[1:]) for column in columns]

    def line(cells: Sequence[str]) -> str:
        padded = [
            cell.ljust(width) if word else cell.rjust(width)
            for cell, width, word in zip(cells, widths, words, strict=True)
        ]
        return f"| {' | '.join(padded)} |"

    rule = [
        "-" * width if word else "-" * (width - 1) + ":"
        for width, word in zip(widths, words, strict=True)
    ]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def _number(cell: str) -> bool:
    return cell.lstrip("-")[:1].isdigit()
