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
    seeds = {row: len(found.record["seeds"]) for row, found in rows.items()}
    assert {seeds[row] for row in PAPER} == {3}
    assert {row: n for row, n in seeds.items() if n < 3} == {
        **dict.fromkeys(("nexus_1", "mvae_1", "mmvae_1"), 2),
        "nexus0_1": 1,
    }
    return [
        "Three seeds of models of two levels; of one level two, and one of Nexus-0.",
        f"As published, a second level lowers the MFD of Nexus's images from labels, "
        f"here from {one.mfd()} to {two.mfd()}, and hardly changes its mean accuracy "
        f"({one('cross')} and {two('cross')} % across; the paper has 96.5 and 93.4), "
        f"for labels from images fall from {one.direction('image', 'label')} to "
        f"{two.direction('image', 'label')} %, and images from labels rise from "
        f"{one.direction('label', 'image')} to {two.direction('label', 'image')}.",
        f"Nexus-0 is as accurate ({rows['nexus0_2']('cross')}), but of one level "
        f"infers nothing from images ({flat.direction('image', 'label')} %; "
        f"{flat('cross')} across), other than published (93).",
        f"MVAE is behind ({rows['mvae_2']('cross')}), and of one level infers hardly "
        f"anything ({rows['mvae_1']('cross')}), as published.",
        f"MMVAE is ahead ({rows['mmvae_2']('cross')}), at twice the MFD "
        f"({rows['mmvae_2'].mfd()}); in the paper it is a little behind.",
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


def clear(high: Four, low: Four, count: int) -> str:
    """Of which targets ``high`` is above ``low`` by more than the noise."""
    differences = gaps(high, low, count).items()
    found = [name for name, (gap, noise) in differences if gap > noise]
    if not found:
        return "within the seeds' noise"
    listed = ", ".join(found[:-1])
    told = f"{listed} and {found[-1]}" if listed else found[-1]
    return f"by more than the seeds' noise for {told}"


NAMES = {
    "nexus_2": "Nexus",
    "nexus0_2": "Nexus-0",
    "mvae_2": "MVAE",
    "mmvae_2": "MMVAE",
    "mopoe_2": "MoPoE",
    "mmjsd_2": "mmJSD",
    "mvtcae_2": "MVTCAE",
    "jmvae_2": "JMVAE",
    "avae_2": "AVAE",
}
PAPER = ("nexus_2", "nexus0_2", "mvae_2", "mmvae_2")
MEANS = "accuracy_means"


def line(name: str, row: Four, measure: str) -> str:
    """Accuracies from one and from three given modalities, by target."""
    cells = [
        " / ".join(row.told(count, target, measure) for count in (1, 3))
        for target in TARGETS.values()
    ]
    return f"| {name} | {len(row.record['seeds'])} | {' | '.join(cells)} |"


def lines_of_table_3() -> list[str]:
    """Those of all models, with samples, and with posterior means."""
    known = {row["row"] for row in records("table3") if row["dataset"] == "mhd"}
    assert known == set(NAMES)
    rows = {row: Four(row) for row in NAMES}
    assert all(len(rows[row].record["seeds"]) == 3 for row in PAPER)
    return [
        line(name, rows[row], measure)
        for measure in ("accuracy", MEANS)
        for row, name in NAMES.items()
    ]


def above(high: Four, low: Four, count: int, measure: str = "accuracy") -> list[str]:
    """The targets of which ``high`` has the higher mean."""
    return [
        name
        for name, target in TARGETS.items()
        if high.given(count, target, measure)["mean"]
        > low.given(count, target, measure)["mean"]
    ]


def curves_of(product: Four, nexus: Four) -> str:
    """The MFD of trajectories of MVAE, of which two measures say the contrary."""
    classes, pooled = (
        [row.told(1, "trajectory", measure) for row in (product, nexus)]
        for measure in ("mfd_class", "mfd_pooled")
    )
    return (
        "highest ({}, Nexus {}), other than published; by the pooled MFD theirs is "
        "lower ({}, Nexus {})".format(*classes, *pooled)
    )


def quotes_of_table_3() -> list[str]:
    """What it says of the paper's four models."""
    nexus, flat, product, mixture = (Four(name) for name in PAPER)
    one, three = (
        sorted(100 * gap for gap, _ in gaps(nexus, flat, count).values())
        for count in (1, 3)
    )
    assert three[-1] < 0 < one[0]
    assert above(mixture, nexus, 1) == above(mixture, nexus, 1, MEANS) == [*TARGETS]
    assert above(mixture, nexus, 3, MEANS) == ["labels"]
    for what, end in (("sound", min), ("trajectory", max)):
        every = (Four(name) for name in PAPER)
        last = end(every, key=lambda row: row.given(1, what, "mfd_class")["mean"])
        assert last.record["row"] == "mvae_2"
    return [
        "sounds from the label alone in {} %, from label and trajectory in {} %".format(
            *(nexus.direction(g, "sound") for g in ("label", "trajectory label"))
        ),
        f"images from the label in {nexus.direction('label', 'image')} %, from all "
        f"three in {nexus.told(3, 'image')} %",
        f"by {one[0]:.0f} to {one[-1]:.0f} points, {clear(nexus, flat, 1)}.",
        f"above it, by up to {-three[0]:.0f} points, {clear(flat, nexus, 3)}",
        f"above Nexus from one modality, {clear(mixture, nexus, 1)}.",
        f"above it {clear(nexus, mixture, 3)}.",
        curves_of(product, nexus),
        "a lower MFD than those of Nexus ({} and {})".format(
            *(row.told(1, "image", "mfd_class") for row in (product, nexus))
        ),
        "({} to {}; the pooled one falls from {} to {})".format(
            *(
                nexus.told(n, "trajectory", measure)
                for measure in ("mfd_class", "mfd_pooled")
                for n in (1, 3)
            )
        ),
    ]


def quotes_of_newer_models() -> str:
    """What it says of those that are not in the paper."""
    nexus, mixture = Four("nexus_2"), Four("mmvae_2")
    mopoe, mmjsd, *modern = (
        Four(f"{name}_2") for name in ("mopoe", "mmjsd", "mvtcae", "jmvae")
    )
    for measure in ("accuracy", MEANS):
        for count in (1, 3):
            assert above(mopoe, nexus, count, measure) == [*TARGETS]
        # And the README:
        assert above(mopoe, mixture, 3, measure) == [*TARGETS]
    for count in (1, 3):
        apart = (
            mmjsd.given(count, target)["mean"] - mixture.given(count, target)["mean"]
            for target in TARGETS.values()
        )
        assert max(map(abs, apart)) < 0.02
        assert above(Four("avae_2"), mixture, count) == []
    for each in modern:
        assert above(each, nexus, 1) == []
        assert {"images", "sounds"} <= set(above(each, nexus, 3))
        assert above(each, nexus, 1, MEANS) == [*TARGETS]
    image, curve, sound = (
        [row.told(1, target, "mfd_class") for row in (*modern, nexus)]
        for target in ("image", "trajectory", "sound")
    )
    return (
        "Of the newer models MoPoE is above Nexus for every target, from one modality "
        "and from three, with samples and with posterior means. With samples mmJSD is "
        "like MMVAE, and AVAE below both. MVTCAE and JMVAE make images and "
        "trajectories of lower MFD than Nexus from one modality (images {} and {}, "
        "Nexus {}; trajectories {} and {}, Nexus {}), MVTCAE sounds, too ({}, Nexus "
        "{}). From one their samples infer less than those of Nexus, from three more "
        "images and sounds; their posterior means from one infer more of every "
        "target.".format(*image, *curve, sound[0], sound[2])
    )


def disjoint() -> tuple[Four, Four]:
    """Nexus and MMVAE, on people never seen."""
    return Four("nexus_2", "mhd_disjoint"), Four("mmvae_2", "mhd_disjoint")


def lines_of_the_disjoint_split() -> list[str]:
    """With samples, and with posterior means."""
    return [
        line(name + how, row, measure)
        for how, measure in (("", "accuracy"), (", means", MEANS))
        for name, row in zip(("Nexus", "MMVAE"), disjoint(), strict=True)
    ]


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
    assert above(mixture, nexus, 1) == above(mixture, nexus, 1, MEANS) == [*TARGETS]
    assert above(mixture, nexus, 3, MEANS) == ["labels"]
    return [
        f"greater than above for every target, {clear(nexus, mixture, 3)};",
        f"from one MMVAE is above it, {clear(mixture, nexus, 1)}.",
        "right on {image} % of the real images, {trajectory} % of the trajectories and "
        "{sound} % of the sounds".format(**ceilings),
    ]


def test_the_readme_quotes_the_disjoint_split() -> None:
    pairs = [(m, n) for m in ("accuracy", MEANS) for n in (1, 3)]
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
    "quotes",
    [
        quotes_of_table_1,
        quotes_of_table_3,
        lines_of_table_3,
        lambda: [quotes_of_newer_models()],
        quotes_of_the_disjoint_split,
        lines_of_the_disjoint_split,
    ],
)
def test_the_page_of_results_quotes_the_tables(quotes: Callable[[], list[str]]) -> None:
    assert missing(quotes(), RESULTS / "README.md") == []
