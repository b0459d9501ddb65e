"""What the page of results says of MHD are the figures of its JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import hypot
from typing import Any

import pytest
from quoting import RESULTS, Row, missing, records, shown


def quotes_of_table_1() -> list[str]:
    """What it says of levels."""
    names = [each["row"] for each in records("table1")]
    rows = {row: Row(row, "mhd_image_label", "table1") for row in names}
    one, two, flat = rows["nexus_1"], rows["nexus_2"], rows["nexus0_1"]
    return [
        f"({one.mfd()} to {two.mfd()}) and leaves its accuracy where it was "
        f"({one('cross')} and {two('cross')} % across)",
        f"Nexus-0 is as accurate ({rows['nexus0_2']('cross')}), but of one level "
        f"infers nothing from images ({flat.direction('image', 'label')} %; "
        f"{flat('cross')} across)",
        f"MVAE is behind ({rows['mvae_2']('cross')}), and of one level infers hardly "
        f"anything ({rows['mvae_1']('cross')})",
        f"is ahead ({rows['mmvae_2']('cross')}), at more than twice the MFD "
        f"({rows['mmvae_2'].mfd()})",
        f"With one level it has {rows['mmvae_1']('cross')} %, at "
        f"{rows['mmvae_1'].mfd()}.",
    ]


def given(
    row: str,
    count: int,
    target: str,
    measure: str = "accuracy",
    dataset: str = "mhd",
) -> dict[str, Any]:
    """A spread of Table 3."""
    (found,) = [
        each[measure]
        for each in Row(row, dataset, "table3").record["given"]
        if (each["given_count"], each["target"]) == (count, target)
    ]
    return dict(found)


def lead(dataset: str, target: str) -> float:
    """How far Nexus is above MMVAE, from three modalities."""
    nexus, mixture = (
        given(row, 3, target, dataset=dataset)["mean"] for row in ("nexus_2", "mmvae_2")
    )
    return float(nexus - mixture)


def table3(
    row: str,
    count: int,
    target: str,
    measure: str = "accuracy",
    dataset: str = "mhd",
) -> str:
    """A mean of Table 3 as it is quoted."""
    return shown(given(row, count, target, measure, dataset), measure)


TARGETS = {
    "labels": "label",
    "images": "image",
    "trajectories": "trajectory",
    "sounds": "sound",
}


def gaps(count: int) -> list[float]:
    """How far Nexus is above Nexus-0, in points, from the least."""
    means = [
        [given(row, count, target)["mean"] for row in ("nexus_2", "nexus0_2")]
        for target in TARGETS.values()
    ]
    return sorted(100 * (nexus - other) for nexus, other in means)


def rivals(high: str, low: str, count: int, dataset: str = "mhd") -> list[str]:
    """What ``high`` reaches against ``low``, by target."""
    return [
        f"{name} {table3(high, count, target, dataset=dataset)} against "
        f"{table3(low, count, target, dataset=dataset)}"
        for name, target in TARGETS.items()
    ]


def clear(high: str, low: str, count: int, dataset: str = "mhd") -> str:
    """Of which targets ``high`` is above ``low`` by more than the claims' noise."""
    found = []
    for name, target in TARGETS.items():
        a, b = (given(row, count, target, dataset=dataset) for row in (high, low))
        if a["mean"] - b["mean"] > 2 * hypot(a["over_seeds"], b["over_seeds"]):
            found.append(name)
    if not found:
        return "within the seeds' noise"
    listed = ", ".join(found[:-1])
    told = f"{listed} and {found[-1]}" if listed else found[-1]
    return f"by more than the seeds' noise for {told}"


def quotes_of_table_3() -> list[str]:
    """What it says of four modalities."""
    nexus = Row("nexus_2", "mhd", "table3")
    curves = [
        table3(row, 1, "trajectory", measure)
        for measure in ("mfd_class", "mfd_pooled")
        for row in ("mvae_2", "nexus_2")
    ]
    one, three = gaps(1), gaps(3)
    assert three[-1] < 0 < one[0]
    seeds = {
        each["row"]: len(each["seeds"])
        for each in records("table3")
        if each["dataset"] == "mhd"
    }
    thrice = dict.fromkeys(("nexus_2", "nexus0_2", "mvae_2", "mmvae_2"), 3)
    assert seeds == thrice | {"mvtcae_2": 1}
    return [
        "sounds from the label alone in {} %, from label and trajectory in {} %".format(
            *(nexus.direction(g, "sound") for g in ("label", "trajectory label"))
        ),
        f"images from the label in {nexus.direction('label', 'image')} %, from all "
        f"three in {table3('nexus_2', 3, 'image')} %",
        f"by {one[0]:.0f} to {one[-1]:.0f} points, {clear('nexus_2', 'nexus0_2', 1)}.",
        f"above it, by up to {-three[0]:.0f} points, {clear('nexus0_2', 'nexus_2', 3)}",
        f"({table3('mvae_2', 1, 'trajectory')}), as published; its sounds",
        "from one modality ({}, {} and {}; Nexus {}, {} and {})".format(
            *(
                table3(row, 1, target, "mfd_class")
                for row in ("mvtcae_2", "nexus_2")
                for target in ("image", "trajectory", "sound")
            )
        ),
        f"(labels {table3('mvtcae_2', 1, 'label')} against "
        f"{table3('nexus_2', 1, 'label')} %); from three its images and sounds are the "
        f"most accurate ({table3('mvtcae_2', 3, 'image')} and "
        f"{table3('mvtcae_2', 3, 'sound')} %)",
        "highest ({}, Nexus {}), other than published, unless by the pooled MFD "
        "({}, {})".format(*curves),
        *rivals("mmvae_2", "nexus_2", 1),
        f"one modality is given, {clear('mmvae_2', 'nexus_2', 1)}:",
        *rivals("nexus_2", "mmvae_2", 3),
        f"above it, or level, {clear('nexus_2', 'mmvae_2', 3)}:",
        f"all three they are right more often than those of Nexus "
        f"({table3('mvae_2', 3, 'image')} against {table3('nexus_2', 3, 'image')} %)",
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


def means(what: str) -> str:
    """From three, with posterior means in place of samples."""
    nexus, mixture = (
        Row(row, "mhd_disjoint", "table3").direction(
            "image trajectory sound", "label", "accuracy_means"
        )
        for row in ("nexus_2", "mmvae_2")
    )
    return f"{what}, in {nexus} and {mixture} %"


def quotes_of_the_disjoint_split() -> list[str]:
    """What it says of writers and speakers never seen."""
    run = RESULTS / "table3" / "mhd_disjoint_nexus_2_seed0_epochs20_sound100.json"
    ceilings = {
        row["target"]: f"{100 * row['ceiling']:.1f}"
        for row in json.loads(run.read_text())["rows"]
    }
    for target in TARGETS.values():
        assert lead("mhd_disjoint", target) > lead("mhd", target)
    return [
        means("both infer the label"),
        *rivals("mmvae_2", "nexus_2", 1, "mhd_disjoint"),
        f"MMVAE is above Nexus, {clear('mmvae_2', 'nexus_2', 1, 'mhd_disjoint')}:",
        *rivals("nexus_2", "mmvae_2", 3, "mhd_disjoint"),
        f"Nexus is far above, {clear('nexus_2', 'mmvae_2', 3, 'mhd_disjoint')}:",
        "right on {image} % of the real images, {trajectory} % of the trajectories and "
        "{sound} % of the sounds".format(**ceilings),
    ]


def test_the_readme_quotes_the_disjoint_split() -> None:
    nexus, mixture = (
        [table3(row, n, "label", dataset="mhd_disjoint") for n in (1, 3)]
        for row in ("nexus_2", "mmvae_2")
    )
    quotes = [
        "in {} % of the cases from one sensor, and in {} %".format(*nexus),
        "does so in {} and {} %".format(*mixture),
        means("both do"),
    ]
    assert missing(quotes, RESULTS.parent / "README.md") == []


def test_the_guide_quotes_how_many_recordings_there_are() -> None:
    sides = Row("nexus_2", "mhd", "table3").record["data"]["sides"]
    quote = f"test rows are of {sides['test']['recordings']} recordings"
    assert missing([quote], RESULTS.parent / "docs" / "cmi.md") == []


@pytest.mark.parametrize(
    "quotes", [quotes_of_table_1, quotes_of_table_3, quotes_of_the_disjoint_split]
)
def test_the_page_of_results_quotes_the_tables(quotes: Callable[[], list[str]]) -> None:
    assert missing(quotes(), RESULTS / "README.md") == []
