"""Reports: records, JSON, tables, plots, and what several seeds say together."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from statistics import pstdev, stdev
from typing import Any

import pytest

from nexus_rl import UserError
from nexus_rl.cmi.report import Coherence, Point, Report, Row
from nexus_rl.cmi.spread import Spread, over_seeds

IMAGE, LABEL, BOTH = ("image",), ("label",), ("image", "label")
MFD = {"mfd_class": 81.2, "floor_class": 1.25, "d_class": 64, "n": 1000, "n_floor": 999}
SETTINGS: dict[str, Any] = {
    **{"dataset": "made_up", "items": 1000, "classes": 10, "samples": 10},
    **{"frechet": ["class"], "seed": 0, "batch_size": 2000},
}


def row(given: tuple[str, ...], target: str, accuracy: float, **more: Any) -> Row:
    kind = "cross" if target not in given else "single" if len(given) == 1 else "joint"
    ceiling = 1.0 if target == "label" else 0.9
    return Row("nexus", given, target, kind, accuracy, None, ceiling, **more)


def report(name: str = "nexus", accuracy: float = 0.5, **more: Any) -> Report:
    rows = (
        row(IMAGE, "label", accuracy),
        row(LABEL, "image", accuracy + 0.25, **MFD),
        row(BOTH, "image", 0.875, **MFD | {"mfd_class": 0.5}),
    )
    points = (
        Point(name, LABEL, "image", "imagined", "mean", 0.0, 0.75, 81.2),
        Point(name, LABEL, "image", "imagined", "noise 1", 1.0, 0.5, 33.0),
        Point(name, LABEL, "image", "real", "real", None, 0.9, 1.25),
    )
    return Report(
        SETTINGS,
        {"seed": 4},
        tuple(replace(each, model=name) for each in rows),
        (Coherence(name, BOTH, 0.4, 1000),),
        points,
        {name: {"log": [{"loss": 1.0}]}},
        **more,
    )


# -- JSON ------------------------------------------------------------------------


def test_json_brings_a_report_back() -> None:
    original = report()
    assert Report.from_json(original.to_json()) == original


def test_json_is_strict_and_tidy() -> None:
    lost = replace(report(), runs={"nexus": {"loss": math.nan}})

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = json.loads(lost.to_json(), parse_constant=refuse)
    assert found["runs"]["nexus"] == {"loss": None}
    assert found["rows"][0] == {
        **{"model": "nexus", "given": ["image"], "target": "label", "kind": "cross"},
        **{"accuracy": 0.5, "accuracy_means": None, "ceiling": 1.0, "n": None},
        **{"mfd_class": None, "floor_class": None, "d_class": None},
        **{"mfd_pooled": None, "floor_pooled": None, "d_pooled": None, "n_floor": None},
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        report().to_json().replace('"accuracy": 0.5', '"accuracy": NaN', 1),
        report().to_json().replace('"ceiling"', '"sealing"', 1),
        report().to_json()[:-20],
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="not the JSON of a report"):
        Report.from_json(text)


def test_pages_are_made_without_torch() -> None:
    code = (
        "import sys; from nexus_rl.cmi import Report, over_seeds\n"
        "report = Report.from_json(sys.stdin.read())\n"
        "assert report.table() and over_seeds([report])\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", code], input=report().to_json(), text=True, check=True
    )


# -- Several models ----------------------------------------------------------------


def test_joined_models_can_be_told_apart_again() -> None:
    a, b = report("a"), report("b", accuracy=0.25)
    joined = Report.join([a, b])
    assert joined.models == ("a", "b")
    assert joined.of("a") == a
    assert joined.of("b") == b
    assert Report.from_json(joined.to_json()) == joined
    with pytest.raises(UserError, match="unknown model 'c'"):
        joined.of("c")


def test_only_what_compares_is_joined() -> None:
    a, b = report("a"), report("b")
    with pytest.raises(UserError, match="distinct names, got a, a"):
        Report.join([a, a])
    with pytest.raises(UserError, match="settings differ in samples, of a and b"):
        Report.join([a, replace(b, settings=SETTINGS | {"samples": 3})])
    with pytest.raises(UserError, match="judges differ in seed"):
        Report.join([a, replace(b, judges={})])
    with pytest.raises(UserError, match="no reports"):
        Report.join([])


# -- The table and the plot ----------------------------------------------------------


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def tables(page: str) -> list[list[dict[str, str]]]:
    """The Markdown tables of a page; a second column of one name gets a 2."""
    found = []
    for block in page.split("\n\n"):
        lines = [cells(line) for line in block.splitlines() if line.startswith("|")]
        if lines:
            titles = [
                name + "2" * (name in lines[0][:k]) for k, name in enumerate(lines[0])
            ]
            found.append([dict(zip(titles, line, strict=True)) for line in lines[2:]])
    return found


def test_the_table_shows_every_direction_beside_what_real_data_reach() -> None:
    page = report().table()
    directions, averages, points = tables(page)
    assert directions[1] == {
        **{"given": "label", "imagined": "image", "kind": "cross", "model": "nexus"},
        **{"accuracy": "75.0", "ceiling": "90.0"},
        **{"class MFD": "81.2", "floor": "1.25"},
    }
    assert directions[0]["class MFD"] == directions[0]["floor"] == ""
    assert directions[2]["class MFD"] == "0.50"
    assert "1,000 test items of made_up, 10 samples" in page
    assert "MFD of image: n = 1,000 (floor: 999) in 10 classes, d = 64 (class)" in page
    assert "nexus: 40.0 % of 1,000 joint samples" in page
    assert averages[0]["kind"] == "cross"
    assert averages[0]["accuracy"] == "62.5 ± 12.5"
    assert [point["accuracy"] for point in points] == ["75.0", "50.0", "90.0"]


def test_the_table_puts_models_side_by_side() -> None:
    page = Report.join([report("a"), report("b", accuracy=0.25)]).table()
    directions = tables(page)[0]
    assert [(line["imagined"], line["model"]) for line in directions[:3]] == [
        *[("label", "a"), ("label", "b")],
        ("image", "a"),
    ]
    assert [line["accuracy"] for line in directions[:2]] == ["50.0", "25.0"]


def test_without_mfd_the_table_does_not_speak_of_it() -> None:
    bare = replace(report(), rows=report().rows[:1], frontier=())
    assert "MFD" not in bare.table()


def test_the_plot_grows_with_what_it_shows() -> None:
    from io import BytesIO

    from matplotlib.image import imread

    def height(shown: Report) -> int:
        return int(imread(BytesIO(shown.plot())).shape[0])

    one = replace(report("a"), frontier=())
    both = Report.join([one, replace(report("b"), frontier=())])
    assert height(one) < height(both) < height(Report.join([report("a"), report("b")]))
    bare = replace(one, rows=one.rows[:1], coherence=())
    assert height(bare) < height(one)


# -- Seeds -----------------------------------------------------------------------


def test_both_spreads_are_what_they_say() -> None:
    values = [[0.9, 0.5], [0.8, 0.6], [1.0, 0.1]]
    spread = Spread.of(values)
    assert spread.mean == pytest.approx(0.65)
    assert spread.over_seeds == pytest.approx(stdev([0.7, 0.7, 0.55]))
    assert spread.pooled == pytest.approx(pstdev([0.9, 0.5, 0.8, 0.6, 1.0, 0.1]))
    assert (spread.seeds, spread.directions) == (3, 2)
    # The paper's single-modality 82.00 +- 18.01 is what one direction at 100 and one
    # at 64 give, and says nothing about seeds.
    table2b = Spread.of([[1.0, 0.64]])
    assert (table2b.mean, table2b.pooled) == pytest.approx((0.82, 0.18))
    assert table2b.over_seeds is None


@pytest.mark.parametrize("values", [[], [[]], [[1.0], [1.0, 2.0]]])
def test_a_ragged_spread_is_refused(values: list[list[float]]) -> None:
    with pytest.raises(UserError, match="same directions"):
        Spread.of(values)


def test_seeds_are_aggregated_by_kind_and_by_direction() -> None:
    seeds = [report(accuracy=0.5), report(accuracy=0.25)]
    cross, joint = over_seeds(seeds, by=("kind",))
    assert (cross["kind"], joint["kind"]) == ("cross", "joint")
    assert cross["accuracy"] == Spread.of([[0.5, 0.75], [0.25, 0.5]])
    assert cross["accuracy_means"] is None
    assert cross["mfd_class"] == Spread.of([[81.2], [81.2]])
    by_direction = over_seeds(seeds, by=("given", "target"))
    assert [(each["given"], each["target"]) for each in by_direction] == [
        *[(IMAGE, "label"), (LABEL, "image"), (BOTH, "image")],
    ]
    assert by_direction[0]["accuracy"] == Spread.of([[0.5], [0.25]])
    # Joined models count as one run each.
    joined = Report.join([report("a", 0.5), report("b", 0.25)])
    assert over_seeds([joined], by=("kind",)) == [cross, joint]


def test_mfds_of_different_targets_are_never_averaged() -> None:
    sound = replace(row(LABEL, "sound", 0.5, **MFD), mfd_class=22393.0)
    both = replace(report(), rows=(*report().rows, sound))
    cross, _ = over_seeds([both], by=("kind",))
    assert cross["mfd_class"] is None
    assert cross["accuracy"].directions == 3
    for each in over_seeds([both]):
        assert each["mfd_class"] is None or each["mfd_class"].directions == 1


def test_runs_that_do_not_compare_are_not_aggregated() -> None:
    part = replace(report(), rows=report().rows[1:])
    with pytest.raises(UserError, match="same directions"):
        over_seeds([report(), part])
    with pytest.raises(UserError, match="empty"):
        over_seeds([])
    with pytest.raises(UserError, match="cannot group by sort; known: model, given"):
        over_seeds([report()], by=("sort",))
