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


class Four(Row):
    """The figures of one row of Table 3."""

    def __init__(self, row: str, dataset: str = "mhd") -> None:
        super().__init__(row, dataset, "table3")

    def given(
        self, count: int, target: str, measure: str = "accuracy"
    ) -> dict[str, Any]:
        """Over all sets of ``count`` modalities."""
        (found,) = [
            each[measure]
            for each in self.record["given"]
            if (each["given_count"], each["target"]) == (count, target)
        ]
        return dict(found)

    def told(self, count: int, target: str, measure: str = "accuracy") -> str:
        """The mean of ``given`` as it is quoted."""
        return shown(self.given(count, target, measure), measure)


TARGETS = {
    "labels": "label",
    "images": "image",
    "trajectories": "trajectory",
    "sounds": "sound",
}


def gaps(high: Four, low: Four, count: int) -> dict[str, tuple[float, float]]:
    """By target: how far ``high`` is above ``low``, and the noise of the claims."""
    found = {}
    for name, target in TARGETS.items():
        a, b = (row.given(count, target) for row in (high, low))
        noise = 2 * hypot(a["over_seeds"], b["over_seeds"])
        found[name] = a["mean"] - b["mean"], noise
    return found


def rivals(high: Four, low: Four, count: int, measure: str = "accuracy") -> list[str]:
    """What ``high`` reaches against ``low``, by target, labels first."""
    return [
        f"{name} {high.told(count, target, measure)} against "
        f"{low.told(count, target, measure)}"
        for name, target in TARGETS.items()
    ]


def clear(high: Four, low: Four, count: int) -> str:
    """Of which targets ``high`` is above ``low`` by more than the noise."""
    differences = gaps(high, low, count).items()
    found = [name for name, (gap, noise) in differences if gap > noise]
    if not found:
        return "within the seeds' noise"
    listed = ", ".join(found[:-1])
    told = f"{listed} and {found[-1]}" if listed else found[-1]
    return f"by more than the seeds' noise for {told}"


def quotes_of_table_3() -> list[str]:
    """What it says of four modalities."""
    names = ("nexus_2", "nexus0_2", "mvae_2", "mmvae_2", "mvtcae_2")
    known = [each for each in records("table3") if each["dataset"] == "mhd"]
    seeds = {each["row"]: len(each["seeds"]) for each in known}
    assert seeds == dict.fromkeys(names, 3) | {"mvtcae_2": 1}
    every = nexus, flat, product, mixture, modern = [Four(name) for name in names]
    one, three = (
        sorted(100 * gap for gap, _ in gaps(nexus, flat, count).values())
        for count in (1, 3)
    )
    assert three[-1] < 0 < one[0]
    for target in ("image", "sound"):
        best = max(every, key=lambda row: row.given(3, target)["mean"])
        assert best is modern
    lowest = min(every[:4], key=lambda row: row.given(1, "sound", "mfd_class")["mean"])
    assert lowest is product
    curves = [
        row.told(1, "trajectory", measure)
        for measure in ("mfd_class", "mfd_pooled")
        for row in (product, nexus)
    ]
    return [
        "sounds from the label alone in {} %, from label and trajectory in {} %".format(
            *(nexus.direction(g, "sound") for g in ("label", "trajectory label"))
        ),
        f"images from the label in {nexus.direction('label', 'image')} %, from all "
        f"three in {nexus.told(3, 'image')} %",
        f"by {one[0]:.0f} to {one[-1]:.0f} points, {clear(nexus, flat, 1)}.",
        f"above it, by up to {-three[0]:.0f} points, {clear(flat, nexus, 3)}",
        f"({product.told(1, 'trajectory')}), as published. Its sounds",
        "from one modality ({}, {} and {}; Nexus {}, {} and {})".format(
            *(
                row.told(1, target, "mfd_class")
                for row in (modern, nexus)
                for target in ("image", "trajectory", "sound")
            )
        ),
        f"(labels {modern.told(1, 'label')} against {nexus.told(1, 'label')} %)",
        f"from three its images and sounds are the most accurate "
        f"({modern.told(3, 'image')} and {modern.told(3, 'sound')} %)",
        "highest ({}, Nexus {}), other than published; by the pooled MFD theirs is "
        "lower ({}, Nexus {})".format(*curves),
        *rivals(mixture, nexus, 1),
        f"one modality is given, {clear(mixture, nexus, 1)}:",
        *rivals(nexus, mixture, 3),
        f"above it, or level, {clear(nexus, mixture, 3)}:",
        f"from three they are right more often than those of Nexus "
        f"({product.told(3, 'image')} against {nexus.told(3, 'image')} %)",
        "a lower MFD than those of Nexus ({} and {})".format(
            *(row.told(1, "image", "mfd_class") for row in (product, nexus))
        ),
        *(rivals(mixture, nexus, n, "accuracy_means")[0] for n in (1, 3)),
        *rivals(modern, nexus, 1, "accuracy_means")[0:3:2],
        "({} to {}; the pooled one falls from {} to {})".format(
            *(
                nexus.told(n, "trajectory", measure)
                for measure in ("mfd_class", "mfd_pooled")
                for n in (1, 3)
            )
        ),
    ]


def disjoint() -> tuple[Four, Four]:
    """Nexus and MMVAE, on people never seen."""
    return Four("nexus_2", "mhd_disjoint"), Four("mmvae_2", "mhd_disjoint")


def quotes_of_the_disjoint_split() -> list[str]:
    """What it says of writers and speakers never seen."""
    run = RESULTS / "table3" / "mhd_disjoint_nexus_2_seed0_epochs20_sound100.json"
    ceilings = {
        row["target"]: f"{100 * row['ceiling']:.1f}"
        for row in json.loads(run.read_text())["rows"]
    }
    nexus, mixture = disjoint()
    usual = gaps(Four("nexus_2"), Four("mmvae_2"), 3)
    for name, (lead, _) in gaps(nexus, mixture, 3).items():
        assert lead > usual[name][0]
    return [
        *(rivals(mixture, nexus, n, "accuracy_means")[0] for n in (1, 3)),
        *rivals(mixture, nexus, 1),
        f"MMVAE is above Nexus, {clear(mixture, nexus, 1)}:",
        *rivals(nexus, mixture, 3),
        f"Nexus is far above, {clear(nexus, mixture, 3)}:",
        "right on {image} % of the real images, {trajectory} % of the trajectories and "
        "{sound} % of the sounds".format(**ceilings),
    ]


def test_the_readme_quotes_the_disjoint_split() -> None:
    pairs = [(m, n) for m in ("accuracy", "accuracy_means") for n in (1, 3)]
    quotes = [
        f"| {name} | {' | '.join(row.told(n, 'label', m) for m, n in pairs)} |"
        for name, row in zip(("Nexus", "MMVAE"), disjoint(), strict=True)
    ]
    sides = disjoint()[0].record["data"]["sides"]
    quotes.append(
        "has {writers} writers and {speakers} speakers".format(**sides["test"])
        + f", one of whom speaks {100 * sides['largest']['speakers']:.0f} %"
    )
    assert missing(quotes, RESULTS.parent / "README.md") == []


def test_the_files_of_speech_commands_are_those_of_the_runs() -> None:
    used = Four("nexus_2").record["data"]["sounds"]["speech_commands"]
    names = (RESULTS / "speech_commands.txt").read_text().split()
    speakers = {name.split("/")[1].split("_")[0] for name in names}
    assert (len(set(names)), len(speakers)) == (used["recordings"], used["speakers"])


def test_the_guide_quotes_how_many_recordings_there_are() -> None:
    sides = Four("nexus_2").record["data"]["sides"]
    quote = f"test rows are of {sides['test']['recordings']} recordings"
    assert missing([quote], RESULTS.parent / "docs" / "cmi.md") == []


@pytest.mark.parametrize(
    "quotes", [quotes_of_table_1, quotes_of_table_3, quotes_of_the_disjoint_split]
)
def test_the_page_of_results_quotes_the_tables(quotes: Callable[[], list[str]]) -> None:
    assert missing(quotes(), RESULTS / "README.md") == []
