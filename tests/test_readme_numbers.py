"""Numbers in the README are those of the committed results."""

from __future__ import annotations

import json
from itertools import dropwhile, takewhile
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
COLUMNS = {"all sensors": "everything", "random dropout": "bernoulli"}


def tables(path: Path, head: str) -> list[dict[str, str]]:
    """The rows of the first table below ``head``, by column."""
    lines = path.read_text().split(head, 1)[1].splitlines()
    below = dropwhile(lambda line: not line.startswith("|"), lines)
    table = takewhile(lambda line: line.startswith("|"), below)
    names, _, *rows = (
        [c.strip() for c in line.strip("|").split("|")] for line in table
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def page_of_results() -> str:
    """All of it in one line."""
    return " ".join((ROOT / "results" / "README.md").read_text().split())


def test_scores_of_agents() -> None:
    page = ROOT / "results" / "agents_pendulum.md"
    known = {row["agent"]: row for row in tables(page, "## Scores by the way")}
    told = tables(ROOT / "README.md", "between random actions")
    assert len(told) == 8
    for row in told:
        theirs = known[row.pop("agent")]
        for name, score in row.items():
            column = COLUMNS.get(name, name.replace(" ", "_"))
            assert theirs[column].split()[0] == score


def test_accuracies_of_the_better_preset() -> None:
    page = ROOT / "results" / "table2.md"
    known = {row["model"]: row for row in tables(page, "## fashion_mnist")}
    said = (ROOT / "README.md").read_text()
    better, paper = (
        known[n]["cross"].split()[0] for n in ("Nexus+", "Nexus, 2 levels")
    )
    assert f"in {better} % instead of {paper} %" in said


def table2(
    row: str, dataset: str = "fashion_mnist", page: str = "table2"
) -> dict[str, str]:
    """Means of a row of Table 2 as they are quoted: a figure a kind and measure."""
    groups = json.loads((ROOT / "results" / f"{page}.json").read_text())
    (group,) = [g for g in groups if (g["row"], g["dataset"]) == (row, dataset)]
    found: dict[str, str] = {}
    for each in group["kinds"]:
        found[each["kind"]] = f"{100 * each['accuracy']['mean']:.1f}"
        if each["kind"] == "cross":
            found["mfd"] = f"{each['mfd_class']['mean']:.0f}"
    for each in group["directions"]:
        if (each["given"], each["target"]) == (["image"], "label"):
            found["label"] = f"{100 * each['accuracy']['mean']:.1f}"
            found["label_means"] = f"{100 * each['accuracy_means']['mean']:.1f}"
    return found


def quotes() -> list[str]:
    """What the page of results says of Table 2, with the figures of its JSON."""
    rows = ("nexus_2", "nexus_plus", "mmvae_1", "mmvae_2")
    shared = table2("mmvae_plus")
    ablated = {
        row: table2(row, page="ablation")["cross"]
        for row in ("nexus_plus", "plus_blurred", "plus_sampled", "plus_unaligned")
    }
    nexus, plus, one, two = (table2(row) for row in rows)
    mnist: dict[str, Any] = {
        row: table2(row, "mnist") for row in rows if row != rows[2]
    }
    return [
        f"(cross {nexus['cross']}, paper 74.1; MFD {nexus['mfd']}, 120)",
        f"five points behind ({mnist['nexus_2']['cross']}, 97.2)",
        f"({mnist['mmvae_2']['cross']} against {mnist['nexus_2']['cross']} %)",
        f"({two['cross']}, {nexus['cross']})",
        f"a latent of 64 ({one['cross']})",
        f"(MFD {one['mfd']} and {two['mfd']} against {nexus['mfd']})",
        f"{plus['cross']} ± 0.3 % across modalities and {plus['joint']} % from both",
        f"at an MFD of {plus['mfd']}.",
        f"{ablated['plus_blurred']} % instead of {ablated['nexus_plus']};",
        f"as all other rows are measured, {ablated['plus_sampled']};",
        f"without alignment {ablated['plus_unaligned']}, at a higher MFD",
        f"({one['label']} against {plus['label']} %)",
        f"{one['cross']} ± 2.7 %",
        f"{shared['cross']} ± 3.0 % across and {shared['joint']} % from both, at an "
        f"MFD of {shared['mfd']};",
        f"{mnist['nexus_plus']['cross']} % across (Nexus {mnist['nexus_2']['cross']})",
        f"{mnist['nexus_plus']['joint']} % from both ({mnist['nexus_2']['joint']})",
        f"MFD {mnist['nexus_plus']['mfd']} ({mnist['nexus_2']['mfd']})",
        f"(here {nexus['label']} and {nexus['label_means']} %)",
    ]


@pytest.mark.parametrize("quote", quotes())
def test_the_page_of_results_quotes_table_2(quote: str) -> None:
    assert quote in page_of_results()


def table3(row: str, count: int, target: str, measure: str = "accuracy") -> str:
    """A mean of Table 3 as it is quoted."""
    groups = json.loads((ROOT / "results" / "table3.json").read_text())
    (group,) = [each for each in groups if each["row"] == row]
    (found,) = [
        each[measure]["mean"]
        for each in group["given"]
        if (each["given_count"], each["target"]) == (count, target)
    ]
    return f"{100 * found:.1f}" if measure == "accuracy" else f"{found:.0f}"


def test_the_page_of_results_quotes_table_3() -> None:
    said = page_of_results()
    label, heard = (
        [table3(row, 1, target) for row in ("mmvae_2", "nexus_2")]
        for target in ("label", "sound")
    )
    assert f"for labels {label[0]} against {label[1]} %)" in said
    assert f"({heard[0]} against {heard[1]} %)" in said
    three = table3("nexus_2", 3, "sound"), table3("mmvae_2", 3, "sound")
    assert (
        f"(labels {table3('nexus_2', 3, 'label')} %, sounds {three[0]} against" in said
    )
    assert f"against {three[1]} %). From" in said
    mfds = [table3(row, 1, "image", "mfd_class") for row in ("mvae_2", "nexus_2")]
    assert f"({mfds[0]} against {mfds[1]})" in said


def scores(page: str) -> dict[str, dict[str, str]]:
    """Mean scores of a page of agents, by agent and group of conditions."""
    path = ROOT / "results" / f"agents_{page}.md"
    return {
        row["agent"]: {name: cell.split()[0] for name, cell in row.items()}
        for row in tables(path, "## Scores by the way")
    }


def quotes_of_the_pendulum() -> list[str]:
    """What the page of results says of agents at the pendulum."""
    every = scores("pendulum")
    nexus, paper = every["Nexus"], every["Nexus, without alignment"]
    neither = every["Nexus, without FPD and alignment"]
    raw, dropped, long = (
        every[f"raw, {how}"]
        for how in (
            "zeros for missing",
            "trained under dropout",
            "trained under dropout for three times the steps",
        )
    )
    image, sound, faults = "no_image", "no_sound", "corruption"
    return [
        f"both ({nexus['everything']}), without the image ({nexus[image]}), without "
        f"the sound ({nexus[sound]}) and under random dropout of any rate "
        f"({nexus['bernoulli']})",
        f"is the same ({every['Nexus, without FPD'][image]}), and so is that of MUSE "
        f"({every['MUSE'][image]})",
        f"keeps {paper[image]} without the image and {paper[sound]} without the sound, "
        f"and without both {neither[image]} and {neither[sound]} are left",
        f"a lower level ({every['GMC'][image]}), MMVAE's nearly "
        f"({every['MMVAE'][image]})",
        f"of the score ({every['MVAE'][image]}, {every['MVAE'][sound]})",
        f"all of it ({every['multimodal VAE'][image]})",
        f"keep {raw[image]} without the image and {raw[sound]} without the sound",
        f"they keep {dropped[image]} and {dropped[sound]}, for as many steps",
        f"three times the steps {long[image]} and {long[sound]}.",
        f"Nexus ({nexus[faults]} on average) is behind raw agents ({raw[faults]}), "
        f"those trained under dropout for long ({long[faults]}) and GMC "
        f"({every['GMC'][faults]})",
    ]


def quotes_of_transfer() -> list[str]:
    """What it says of the oracle that acts on the state read off latents."""
    path = ROOT / "results" / "transfer_pendulum" / "evaluation.md"
    known = {
        row["condition"]: float(row["nexus"].split()[0])
        for row in tables(path, "## Normalised score")
        if row["group"] == "corruption"
    }
    every, slight, severe = (
        fmean(score for name, score in known.items() if name.endswith(end))
        for end in ("", "_1", "_3")
    )
    return [
        f"{every:.2f} over the same faults: {slight:.2f} where they are slight, "
        f"{severe:.2f} where they are severe"
    ]


def quotes_of_other_agents() -> list[str]:
    """What it says of agents at the shooter and the dial."""
    shooter = scores("hyperhot")
    rows = ["Nexus", "raw, zeros for missing", "raw, trained under dropout"]
    both, blind, deaf = (
        [shooter[row][name] for row in rows]
        for name in ("everything", "no_image", "no_sound")
    )
    ear, eye = shooter["raw, sound alone"], shooter["raw, image alone"]
    dial = {row: list(found.values())[2:] for row, found in scores("digitdial").items()}
    return [
        "scores {}, raw agents {} and those trained under dropout {} (".format(*both),
        "without the image {}, {} and {}, where".format(*blind)
        + f" an agent of the sound alone has {ear['no_image']}",
        "without the sound {}, {} and {}, where".format(*deaf)
        + f" an agent of the image alone has {eye['no_sound']}",
        "score {} with all sensors, {} on average where some are missing for good, and "
        "{} under random dropout".format(*dial["Nexus"]),
        "saw a label {}, {} and {}.".format(*dial["Nexus, trained without labels"]),
        "raw sensors score {}, {} and {},".format(*dial["raw, zeros for missing"]),
        "dropout {}, {} and {}, with".format(*dial["raw, trained under dropout"]),
    ]


def quotes_of_four_sensors() -> list[str]:
    """What it says of the fourteen ways to miss some of four sensors."""
    path = ROOT / "results" / "agents_pendulum4.md"
    rows = tables(path, "## Normalised score")
    known = {row["condition"]: row for row in rows if row["group"] == "missing"}

    def score(row: dict[str, str], agent: str) -> float:
        return float(row[agent].split()[0])

    enough = [row for row in known.values() if score(row, "nexus") > 0.5]
    assert (len(known), len(enough)) == (14, 9)
    spans = {}
    for agent in ("nexus", "raw_dropout", "raw_dropout_long"):
        several = [score(row, agent) for row in enough]
        spans[agent] = f"{min(several):.2f} to {max(several):.2f}"
    every, heard = rows[0], known["only_sound"]
    assert score(heard, "nexus") == score(heard, "raw_sound")
    return [
        f"scores {spans['nexus']} (with everything {score(every, 'nexus'):.2f}): "
        f"{score(heard, 'nexus'):.2f} from the sound alone",
        f"and {score(known['only_gyro_image'], 'nexus'):.2f} from gyro and camera",
        f"score {spans['raw_dropout']} there, and {spans['raw_dropout_long']} after",
        f"with {score(every, 'raw_dropout'):.2f} and "
        f"{score(every, 'raw_dropout_long'):.2f} with everything",
    ]


def quotes_of_speed() -> list[str]:
    """What it says of how fast agents learn."""
    benchmark = json.loads((ROOT / "results" / "benchmark_learning.json").read_text())
    (small, nature), (small_16, nature_16), (small_sac, nature_sac) = (
        [each["latents of Nexus"] / speed for speed in list(each.values())[1:]]
        for each in benchmark["learning"]["steps_per_second"].values()
    )
    return [
        f"is {nature:.1f} times as fast",
        f"{nature_16:.1f} times with 16 environments",
        f"and {nature_sac:.0f} times with SAC",
        f"here {small:.1f}, {small_16:.1f} and {small_sac:.1f} times.",
    ]


@pytest.mark.parametrize(
    "quote",
    [
        *quotes_of_the_pendulum(),
        *quotes_of_transfer(),
        *quotes_of_other_agents(),
        *quotes_of_four_sensors(),
        *quotes_of_speed(),
    ],
)
def test_the_page_of_results_quotes_agents(quote: str) -> None:
    assert quote in page_of_results()
