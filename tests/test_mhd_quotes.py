"""What the page of results says of MHD are the figures of its JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from quoting import RESULTS, Row, missing, records, shown


def quotes_of_table_1() -> list[str]:
    """What it says of levels."""
    rows = {
        row: Row(row, "mhd_image_label", "table1")
        for row in ("nexus_1", "nexus_2", "nexus0_2", "mvae_2", "mmvae_2", "mmvae_1")
    }
    one, two, flat = rows["nexus_1"], rows["nexus_2"], rows["nexus0_2"]
    return [
        f"({one.mfd()} to {two.mfd()}) and leaves its accuracy where it was "
        f"({one('cross')} and {two('cross')} % across)",
        f"Nexus-0 is as accurate ({flat('cross')}), MVAE behind "
        f"({rows['mvae_2']('cross')}).",
        f"is ahead ({rows['mmvae_2']('cross')}), at more than twice the MFD "
        f"({rows['mmvae_2'].mfd()})",
        f"With one level it has {rows['mmvae_1']('cross')} %, at "
        f"{rows['mmvae_1'].mfd()}.",
    ]


def given(
    row: str, count: int, target: str, measure: str = "accuracy"
) -> dict[str, Any]:
    """A spread of Table 3."""
    (found,) = [
        each[measure]
        for each in Row(row, "mhd", "table3").record["given"]
        if (each["given_count"], each["target"]) == (count, target)
    ]
    return dict(found)


def table3(row: str, count: int, target: str, measure: str = "accuracy") -> str:
    """A mean of Table 3 as it is quoted."""
    return shown(given(row, count, target, measure), measure)


TARGETS = ("image", "trajectory", "sound", "label")


def gaps(count: int) -> list[float]:
    """How far Nexus is above Nexus-0, in points, from the least."""
    means = [
        [given(row, count, target)["mean"] for row in ("nexus_2", "nexus0_2")]
        for target in TARGETS
    ]
    return sorted(100 * (nexus - other) for nexus, other in means)


def quotes_of_table_3() -> list[str]:
    """What it says of four modalities."""
    seeds = {each["row"]: each["seeds"] for each in records("table3")}
    curves = [
        table3(row, 1, "trajectory", measure)
        for measure in ("mfd_class", "mfd_pooled")
        for row in ("mvae_2", "nexus_2")
    ]
    one, three = gaps(1), gaps(3)
    assert three[-1] < 0 < one[0]
    return [
        "{} of Nexus, {} of Nexus-0, {} of MVAE and {} of MMVAE".format(
            *(len(seeds[row]) for row in ("nexus_2", "nexus0_2", "mvae_2", "mmvae_2"))
        ),
        f"by {one[0]:.0f} to {one[-1]:.0f} points",
        f"above it, by up to {-three[0]:.0f} points",
        "({}), as published; its sounds".format(table3("mvae_2", 1, "trajectory")),
        "highest ({}, Nexus {}), other than published, unless by the pooled MFD "
        "({}, {})".format(*curves),
        *(
            f"{what} {table3('mmvae_2', n, target)} against "
            f"{table3('nexus_2', n, target)}"
            for n, what, target in (
                (1, "labels", "label"),
                (1, "sounds", "sound"),
                (1, "images", "image"),
                (1, "trajectories", "trajectory"),
            )
        ),
        *(
            f"{what} {table3('nexus_2', 3, target)} against "
            f"{table3('mmvae_2', 3, target)}"
            for what, target in (("labels", "label"), ("images", "image"))
        ),
        "({} and {} from one)".format(
            *(table3(row, 1, "image", "mfd_class") for row in ("mvae_2", "nexus_2"))
        ),
        "({} to {}; the pooled one falls from {} to {})".format(
            *(
                table3("nexus_2", n, "trajectory", measure)
                for measure in ("mfd_class", "mfd_pooled")
                for n in (1, 3)
            )
        ),
    ]


@pytest.mark.parametrize("quotes", [quotes_of_table_1, quotes_of_table_3])
def test_the_page_of_results_quotes_the_tables(quotes: Callable[[], list[str]]) -> None:
    assert missing(quotes(), RESULTS / "README.md") == []
