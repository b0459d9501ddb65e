"""What the READMEs say of agents are the figures of the committed results."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import dropwhile, takewhile
from pathlib import Path
from statistics import fmean

import pytest
from quoting import RESULTS, missing

ROOT = Path(__file__).parents[1]
COLUMNS = {
    "all sensors": "everything",
    "random dropout": "bernoulli",
    "unannounced faults": "corruption",
}


def tables(path: Path, head: str) -> list[dict[str, str]]:
    """The rows of the first table below ``head``, by column."""
    lines = path.read_text().split(head, 1)[1].splitlines()
    below = dropwhile(lambda line: not line.startswith("|"), lines)
    table = takewhile(lambda line: line.startswith("|"), below)
    names, _, *rows = (
        [c.strip() for c in line.strip("|").split("|")] for line in table
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_scores_of_agents() -> None:
    page = ROOT / "results" / "agents_pendulum.md"
    known = {row["agent"]: row for row in tables(page, "## Scores by the way")}
    told = tables(ROOT / "README.md", "that of random actions")
    assert len(told) == 11
    for row in told:
        theirs = known[row.pop("agent")]
        for name, score in row.items():
            column = COLUMNS.get(name, name.replace(" ", "_"))
            assert theirs[column].split()[0] == score
    interval = known["raw, zeros for missing"]["no_image"].split("[")[1].rstrip("]")
    quote = f"raw agents keep {interval.replace(', ', ' to ')} without the image"
    assert missing([quote], ROOT / "README.md") == []


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
    faults = [
        conditions("hyperhot")[name]
        for name in ("freeze_image_3", "freeze_sound_3", "gaussian_sound_3")
    ]
    frozen = conditions("digitdial")["freeze_trajectory_3"]
    dial = {row: list(found.values())[2:] for row, found in scores("digitdial").items()}
    return [
        "scores {}, raw agents {} and those trained under dropout {} (".format(*both),
        "without the image {}, {} and {}, where".format(*blind)
        + f" an agent of the sound alone has {ear['no_image']}",
        "without the sound {}, {} and {}, where".format(*deaf)
        + f" an agent of the image alone has {eye['no_sound']}",
        "(image {} against {}, sound {} against {}) and where the sound is very noisy "
        "({} against {})".format(
            *(row[agent] for row in faults for agent in ("nexus", "raw_dropout"))
        ),
        "leaves Nexus {nexus}, raw agents {raw}, MMVAE {mmvae}.".format(**frozen),
        "score {} with all sensors, {} on average where some are missing for good, and "
        "{} under random dropout".format(*dial["Nexus"]),
        "saw a label {}, {} and {}.".format(*dial["Nexus, trained without labels"]),
        "raw sensors score {}, {} and {},".format(*dial["raw, zeros for missing"]),
        "dropout {}, {} and {}, with".format(*dial["raw, trained under dropout"]),
    ]


def test_the_readme_quotes_the_dial() -> None:
    every = conditions("digitdial")
    whole = every["everything"]
    alone = [row for name, row in every.items() if name.startswith("only_")]
    spans = {
        agent: "{} to {}".format(*(f(row[agent] for row in alone) for f in (min, max)))
        for agent in ("nexus", "raw_dropout", "nexus_unlabelled")
    }
    frozen = every["freeze_trajectory_3"]
    quotes = [
        f"score {whole['nexus']} with camera, pen and microphone, and "
        f"{spans['nexus']} with one",
        f"raw sensors score {whole['raw']} with all, and nothing",
        f"score {whole['raw_dropout']} with all, and {spans['raw_dropout']} with one",
        f"scores {whole['nexus_unlabelled']} with all sensors, and "
        f"{spans['nexus_unlabelled']} with one",
        f"leaves Nexus {frozen['nexus']}, raw agents {frozen['raw']}",
    ]
    assert missing(quotes, ROOT / "README.md") == []
    for name in ("only_image", "only_sound"):
        assert float(every[name]["raw"]) <= 0


def conditions(page: str) -> dict[str, dict[str, str]]:
    """Mean scores of a page of agents, by condition and agent."""
    path = ROOT / "results" / f"agents_{page}.md"
    return {
        row["condition"]: {name: cell.split()[0] for name, cell in row.items()}
        for row in tables(path, "## Normalised score")
    }


def quotes_of_four_sensors() -> list[str]:
    """What it says of the fourteen ways to miss some of four sensors."""
    every = conditions("pendulum4")
    known = {name: row for name, row in every.items() if row["group"] == "missing"}

    def score(row: dict[str, str], agent: str) -> float:
        return float(row[agent])

    enough = [row for row in known.values() if score(row, "nexus") > 0.5]
    assert (len(known), len(enough)) == (14, 9)
    spans = {}
    for agent in ("nexus", "raw_dropout", "raw_dropout_long"):
        several = [score(row, agent) for row in enough]
        spans[agent] = f"{min(several):.2f} to {max(several):.2f}"
    whole, heard = every["everything"], known["only_sound"]
    assert score(heard, "nexus") == score(heard, "raw_sound")
    return [
        f"scores {spans['nexus']} (with everything {whole['nexus']}): "
        f"{score(heard, 'nexus'):.2f} from the sound alone",
        f"and {score(known['only_gyro_image'], 'nexus'):.2f} from gyro and camera",
        f"score {spans['raw_dropout']} there, and {spans['raw_dropout_long']} after",
        f"with {whole['raw_dropout']} and {whole['raw_dropout_long']} with everything",
        f"keeps {every['bernoulli_30']['nexus']} at a rate of 30 %, and nearly nothing "
        f"at 70 % ({every['bernoulli_70']['nexus']})",
    ]


def quotes_of_speed() -> list[str]:
    """What it says of how fast agents learn."""
    benchmark = json.loads((ROOT / "results" / "benchmark_learning.json").read_text())
    (small, nature), (small_16, nature_16), (small_sac, nature_sac) = (
        [each["latents of Nexus"] / speed for speed in list(each.values())[1:]]
        for each in benchmark["learning"]["steps_per_second"].values()
    )
    return [
        f"it is {nature:.1f} times as fast, {nature_16:.1f} times with 16 "
        f"environments, and {nature_sac:.0f} times with SAC",
        f"here {small:.1f}, {small_16:.1f} and {small_sac:.1f} times, with PPO, with",
    ]


@pytest.mark.parametrize(
    "quotes",
    [
        quotes_of_the_pendulum,
        quotes_of_transfer,
        quotes_of_other_agents,
        quotes_of_four_sensors,
        quotes_of_speed,
    ],
)
def test_the_page_of_results_quotes_agents(quotes: Callable[[], list[str]]) -> None:
    assert missing(quotes(), RESULTS / "README.md") == []
