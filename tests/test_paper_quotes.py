"""What the READMEs say of the paper's experiments are the figures of their JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from statistics import fmean

import pytest
from quoting import RESULTS, Row, missing


def crosses(runs: str) -> list[str]:
    """Cross accuracies of runs, from the lowest."""
    found = []
    for path in RESULTS.glob(f"{runs}.json"):
        rows = json.loads(path.read_text())["rows"]
        found.append(fmean(r["accuracy"] for r in rows if r["kind"] == "cross"))
    return [f"{100 * each:.1f}" for each in sorted(found)]


def told_by_means(modern: Row, digits: Row, clothes: Row) -> str:
    """How often MVTCAE and Nexus name what posterior means show."""
    return "on MNIST ({} and {} %) as on FashionMNIST ({} and {})".format(
        *(
            row.direction("image", "label", "accuracy_means")
            for row in (modern, digits, Row("mvtcae_2"), clothes)
        )
    )


def quotes_of_table_2() -> list[str]:
    """What the page of results says of the paper's models."""
    nexus, one, two = (Row(name) for name in ("nexus_2", "mmvae_1", "mmvae_2"))
    mnist = {
        name: Row(name, "mnist")
        for name in ("nexus_2", "mvae_1", "mvae_2", "mmvae_1", "mmvae_2")
    }
    newer = {name: Row(f"{name}_2", "mnist") for name in ("mopoe", "mmjsd", "mvtcae")}
    reached = sorted((Row(f"{name}_2")("cross") for name in MODERN), key=float)
    level, deep = mnist["mmvae_1"], mnist["mmvae_2"]
    seeds = crosses("table2/mnist_mmvae_1_seed*")
    (again,) = crosses("table2/mnist_mmvae_1_seed0_epochs20")
    here, there = (
        crosses(f"{run}_seed0_epochs20")
        for run in ("table2/mnist_nexus_2", "fig_a21/mnist_rho0.1")
    )
    return [
        f"cross {here[0]} and {there[0]} for the same Nexus.",
        f"({level('cross', noise=True)}): three runs have {seeds[1]} % or more, and "
        f"one, of a seed that has {again} % on the other machine, {seeds[0]} %.",
        f"Its two-level version is above Nexus there ({deep('cross')} against "
        f"{mnist['nexus_2']('cross')} %)",
        f"from {reached[0]} to {reached[-1]} %",
        f"MoPoE ({newer['mopoe']('cross')}) and mmJSD ({newer['mmjsd']('cross')})",
        f"higher MFD ({newer['mopoe'].mfd()} and {newer['mmjsd'].mfd()})",
        f"images from labels ({newer['mvtcae'].mfd()}), and infers less "
        f"({newer['mvtcae']('cross')}), but",
        told_by_means(newer["mvtcae"], mnist["nexus_2"], nexus),
        f"as accurate as published (cross {nexus('cross')}, paper 74.1)",
        f"five points behind ({mnist['nexus_2']('cross')}, 97.2)",
        f"as published ({Row('mvae_1')('cross')} and {mnist['mvae_1']('cross')}), and "
        f"gains much by a second level ({Row('mvae_2')('cross')} and "
        f"{mnist['mvae_2']('cross')})",
        f"with one level ({one('cross', noise=True)} against "
        f"{nexus('cross', noise=True)})",
        f"for images (MFD {one.mfd()} against {nexus.mfd()}), as the paper says",
        f"infers as much ({two('cross')})",
        f"(here {nexus.direction('image', 'label')} and "
        f"{nexus.direction('image', 'label', 'accuracy_means')} %)",
    ]


MODERN = ("mopoe", "mvtcae", "mmjsd", "jmvae", "avae")


def compared() -> list[str]:
    """The table of nexus_plus and its rivals, line by line."""
    lines = []
    for title, dataset in (("FashionMNIST", "fashion_mnist"), ("MNIST", "mnist")):
        for name, row in {
            "Nexus+": "nexus_plus",
            "MMVAE+": "mmvae_plus",
            "MMVAE, 1 level": "mmvae_1",
            "Nexus": "nexus_2",
        }.items():
            found = Row(row, dataset)
            seeds = len(found.record["seeds"])
            cells = (found(kind, noise=seeds > 1) for kind in ("cross", "joint"))
            lines.append(
                f"| {title} | {name} | {seeds} | {' | '.join(cells)} | {found.mfd()} |"
            )
    return lines


def quotes_of_the_better_preset() -> list[str]:
    """What it says of nexus_plus, and of its parts."""
    plus, one = Row("nexus_plus"), Row("mmvae_1")
    rows = ("nexus_plus", "plus_blurred", "plus_sampled", "plus_unaligned")
    whole, blurred, sampled, free = (Row(name, page="ablation") for name in rows)
    digit, nexus = Row("nexus_plus", "mnist"), Row("nexus_2", "mnist")
    return [
        *compared(),
        f"({one.direction('image', 'label')} against "
        f"{plus.direction('image', 'label')} %)",
        f"{blurred('cross')} % across instead of {whole('cross')}.",
        f"({free('cross')} without) and images from labels of lower MFD "
        f"({whole.mfd()}, without {free.mfd()})",
        f"(MFD {whole.mfd('image')}, without {free.mfd('image')})",
        f"with samples {sampled('cross')};",
        f"level ({whole('cross', 'accuracy_means')} and "
        f"{sampled('cross', 'accuracy_means')}; of labels from images "
        f"{whole.direction('image', 'label', 'accuracy_means')} and "
        f"{sampled.direction('image', 'label', 'accuracy_means')}, for",
        f"ahead ({whole('joint', 'accuracy_means')} and "
        f"{sampled('joint', 'accuracy_means')})",
        f"on FashionMNIST ({plus.coherence} and {Row('nexus_2').coherence} %), and "
        f"less often on MNIST ({digit.coherence} and {nexus.coherence} %)",
        f"as well ({Row('mmvae_1', 'mnist').direction('image', 'label')} and "
        f"{digit.direction('image', 'label')} %)",
    ]


def quotes_of_the_dropout_rate() -> list[str]:
    """What it says of Fig. A.21."""
    rows = {rho: Row(f"rho{rho:g}", "mnist", "fig_a21") for rho in RHOS}
    joint = (row("joint") for rho, row in rows.items() if rho < 1)
    below = sorted(joint, key=float)
    return [
        f"infers nothing from an image ({rows[0].direction('image', 'label')} %)",
        f"from {rows[0.05]('cross')} % across at 0.05 to {rows[0.8]('cross')} % at 0.8",
        f"from {rows[0].mfd()} at 0 to {rows[0.1].mfd()} at 0.1, and then rises to "
        f"{rows[0.8].mfd()} at 0.8",
        f"{below[0]} to {below[-1]} % below 1 and {rows[1]('joint')} % at 1",
    ]


RHOS = (0, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1)


@pytest.mark.parametrize(
    "quotes",
    [
        quotes_of_table_2,
        quotes_of_the_better_preset,
        quotes_of_the_dropout_rate,
    ],
)
def test_the_page_of_results_quotes_the_tables(quotes: Callable[[], list[str]]) -> None:
    assert missing(quotes(), RESULTS / "README.md") == []


def test_the_guide_quotes_two_machines_classifiers() -> None:
    real = {
        f"{100 * row['ceiling']:.2f}"
        for path in RESULTS.glob("table2/mnist_*.json")
        for row in json.loads(path.read_text())["rows"]
        if row["target"] == "image"
    }
    here, there = sorted(real)
    quote = f"right on {there} % of the test images there and on {here} % here"
    assert missing([quote], RESULTS.parent / "docs" / "cmi.md") == []


def test_the_readme_quotes_the_better_preset() -> None:
    better, paper, rival = (Row(name) for name in ("nexus_plus", "nexus_2", "mmvae_1"))
    quotes = [
        f"in {better('cross')} % instead of {paper('cross')} %",
        f"{better.mfd()} instead of {paper.mfd()}",
        f"MMVAE infers it in {rival('cross')} %",
        f"at a distance of {rival.mfd()}",
    ]
    assert missing(quotes, RESULTS.parent / "README.md") == []
