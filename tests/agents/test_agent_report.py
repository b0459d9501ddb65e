"""What is written of an evaluation."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from agents import plots
from agents.report import page, read, write
from agents.results import Evaluation
from agents.scores import Scores
from nexus_rl.errors import UserError

CONDITIONS = {
    **{"everything": "everything", "no_image": "missing"},
    **{"bernoulli_30": "bernoulli", "bernoulli_90": "bernoulli"},
}
RETURNS = {
    "a": (-200.0, -300.0, -400.0, -500.0),
    "b": (-240.0, -400.0, -500.0, -700.0),
    "raw": (-190.0, -1000.0, -900.0, -1100.0),
    "chance": (-1200.0,),
    "state": (-150.0,),
}
METHODS = {
    **{"nexus": ("a", "b"), "raw": ("raw",)},
    **{"chance": ("chance",), "state": ("state",)},
}


def available(agent: str, condition: str) -> dict[str, float]:
    """Which part of an episode the sensors are there; the raw agent's was shorter."""
    image = {"everything": 1.0, "no_image": 0.0}.get(condition, 0.5)
    return {"image": 0.8 if (agent, image) == ("raw", 0.5) else image, "sound": 1.0}


def rows(returns: Mapping[str, Sequence[float]]) -> tuple[dict[str, Any], ...]:
    return tuple(
        {
            **{"agent": agent, "condition": name, "group": group, "seed": 7},
            **{"episode": 0, "return": value, "length": 200},
            "available": available(agent, name),
        }
        for agent, values in returns.items()
        for (name, group), value in zip(CONDITIONS.items(), values, strict=False)
    )


@pytest.fixture
def found() -> Evaluation:
    return Evaluation(
        "Env-v0", {"size": 3}, 1, (7,), rows(RETURNS), METHODS, "chance", "state"
    )


def cells(text: str, title: str) -> list[list[str]]:
    """The table below a title."""
    below = text.split(f"## {title}\n\n")[1].split("\n\n")[0]
    lines = [line.strip("| ").split("|") for line in below.splitlines()]
    return [[cell.strip() for cell in line] for line in lines if "--" not in line[0]]


def test_the_tables_have_the_means_and_intervals(found: Evaluation) -> None:
    text = page(found)
    table = cells(text, "Return of an episode")
    assert [line.pop(2) for line in table] == [
        *("missing", "–", "image 100%", "image 40%", "image 40%"),
    ]
    assert table == [
        ["condition", "group", "nexus", "raw"],
        ["everything", "everything", "-220.0 [-240.0, -200.0]", "-190.0"],
        ["no_image", "missing", "-350.0 [-400.0, -300.0]", "-1000.0"],
        ["bernoulli_30", "bernoulli", "-450.0 [-500.0, -400.0]", "-900.0"],
        ["bernoulli_90", "bernoulli", "-600.0 [-700.0, -500.0]", "-1100.0"],
    ]
    table = cells(text, "Normalised score (random 0, oracle 1)")
    assert table[2][2:] == ["0.81 [0.76, 0.86]", "0.19"]
    table = cells(text, "Retained of the score with everything")
    assert table[2][2:] == ["87% [83%, 90%]", "20%"]
    overall = cells(text, "Over all conditions")
    assert overall[1][:5] == [
        *("nexus", "2", "-220.0 [-240.0, -200.0]"),
        *("bernoulli_90", "-600.0 [-700.0, -500.0]"),
    ]
    # (0.3 * 545 + 0.6 * 1000) / 0.9, by hand.
    assert overall[2][5:] == ["-848.3", "0.33"]


def test_what_is_said_of_seeds_and_references(found: Evaluation) -> None:
    text = page(found)
    assert "# Agents on Env-v0 size=3\n" in text
    assert "1 episodes a condition and seed" in text and "seed 7." in text
    assert "over training seeds (nexus 2, raw 1)" in text
    assert "Random actions: -1200.0. Oracle (state): -150.0." in text


def test_one_seed_has_no_intervals_and_no_references_no_scores() -> None:
    alone = Evaluation("Env-v0", {}, 1, (7,), rows({"a": RETURNS["a"]}))
    text = page(alone)
    assert "One training seed each, so there are no intervals." in text
    assert "[" not in text and "ormalised" not in text and "Retained" not in text


def test_small_returns_have_more_digits() -> None:
    small = Evaluation("Env-v0", {}, 1, (7,), rows({"a": (0.125, -1.0)}))
    table = cells(page(small), "Return of an episode")
    assert [line[3] for line in table[1:]] == ["0.12", "-1.00"]


def test_an_oracle_that_is_no_better_than_random(found: Evaluation) -> None:
    worse = replace(found, random="state", oracle="chance")
    assert "not above random, so no score is normalised" in page(worse)
    assert "Normalised" not in page(worse)


def test_all_files_come_from_the_json(found: Evaluation, tmp_path: Path) -> None:
    files = write(found, tmp_path / "one")
    assert {path.name for path in files} == {
        *("evaluation.json", "evaluation.csv", "evaluation.md"),
        *("returns.png", "drop_rates.png"),
    }
    assert read(tmp_path / "one") == found
    write(read(tmp_path / "one"), tmp_path / "two")
    for path in files:
        assert (tmp_path / "two" / path.name).read_bytes() == path.read_bytes()
    text = (tmp_path / "one" / "evaluation.csv").read_text()
    table = list(csv.DictReader(io.StringIO(text)))
    assert len(table) == len(found.rows)
    assert table[0]["available_image"] == "1.0" and table[0]["return"] == "-200.0"
    with pytest.raises(UserError, match=r"no evaluation of agents at .*nothing"):
        read(tmp_path / "nothing")


def test_no_curve_stays_of_an_earlier_evaluation(
    found: Evaluation, tmp_path: Path
) -> None:
    write(found, tmp_path)
    few = tuple(row for row in found.rows if row["group"] != "bernoulli")
    files = write(replace(found, rows=few), tmp_path)
    assert set(tmp_path.iterdir()) == set(files)
    assert "drop rates" not in (tmp_path / "evaluation.md").read_text()


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    figures: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        figures.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def test_the_plots_have_the_returns(found: Evaluation, drawn: list[Figure]) -> None:
    scores = Scores(found)
    plots.returns(scores)
    plots.drop_rates(scores)
    (every,), (curve,) = (figure.axes for figure in drawn)
    labels = [label.get_text() for label in every.get_yticklabels()]
    assert labels == list(CONDITIONS)
    names = {"nexus", "raw", "chance (random)", "state (oracle)"}
    for axes in (every, curve):
        assert set(axes.get_legend_handles_labels()[1]) == names
    assert list(_line(every, "raw").get_xdata()) == list(RETURNS["raw"])
    assert list(_line(every, "nexus").get_xdata()) == [-220, -350, -450, -600]
    line = _line(curve, "raw")
    assert list(line.get_xdata()) == [0, 30, 90]
    assert list(line.get_ydata()) == [-190, -900, -1100]


def test_methods_look_different(drawn: list[Figure]) -> None:
    returns = {f"method {k}": RETURNS["raw"] for k in range(20)}
    scores = Scores(Evaluation("Env-v0", {}, 1, (7,), rows(returns)))
    plots.returns(scores)
    plots.drop_rates(scores)
    for figure in drawn:
        lines = [_line(figure.axes[0], name) for name in returns]
        assert len({(line.get_color(), line.get_marker()) for line in lines}) == 20


def _line(axes: Any, label: str) -> Any:
    """The markers of a method."""
    (bars,) = (bars for bars in axes.containers if bars.get_label() == label)
    return bars.lines[0]


def test_reports_do_not_wait_for_torch() -> None:
    code = (
        "import sys, agents.report; "
        "print([m for m in ('torch', 'stable_baselines3') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == []
