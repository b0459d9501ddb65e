"""The page of Table 3: four modalities, by target and number of given ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from paper_cells import (
    BY_DIRECTION,
    WARMUP,
    directions,
    judged,
    number,
    percent,
    quoted,
)
from paper_groups import Group, by_dataset, published, title
from paper_remarks import heading, origin, remarks

from nexus_rl.cmi.report import Row

COUNTS = (1, 2, 3)

HOW = """Every target is imagined from all sets of one, two or three other modalities. \
Accuracies in %, with latents sampled. `a ± b (± c)`: mean over those sets and seeds, \
their population deviation (the paper's spread), deviation over seeds. MFD: \
class-specific autoencoders (Eq. 20); lower is better; labels have none, and each \
target has its own scale. In italics what the paper reports for one and three given \
modalities, for 100 epochs of one stage, with its own data, classifiers and \
autoencoders; of its MMVAE the released code never trains the sound's expert, here \
every expert is trained.

The sound's sigma-VAE is trained alone, on each distinct spectrogram once, and then \
fixed. A seed's other bottoms are trained next, and shared by all models, whose top \
levels follow them epoch by epoch. """
HOW += WARMUP


def table3(groups: Sequence[Group]) -> str:
    """Table 3, ours beside the paper's, and every set of given modalities."""
    lines = ["# Table 3: cross-modality inference, four modalities", "", HOW]
    for dataset, mine in by_dataset(groups).items():
        paper = published("table3").get(dataset, {})
        lines += ["", heading(dataset), *origin(mine)]
        lines += ["", *_averages(mine, paper), *remarks(dataset, mine, paper)]
        lines += ["", BY_DIRECTION]
        for target in targets_of(mine):
            lines += ["", *directions(mine, target)]
        lines += ["", *_ceilings(mine), "", judged(mine[0].reports[0].judges)]
    return "\n".join([*lines, "", "![By given modalities](table3.png)", ""])


def targets_of(groups: Sequence[Group]) -> list[str]:
    """What is imagined, in the dataset's order."""
    rows = groups[0].reports[0].rows
    known = [name for row in rows if len(row.given) == 1 for name in row.given]
    return list(dict.fromkeys(known))


def _averages(groups: Sequence[Group], paper: dict[str, Any]) -> list[str]:
    names = ["model", "seeds", "epochs"]
    names += [f"{what}, {n} given" for what in ("accuracy", "MFD") for n in COUNTS]
    lines: list[str] = []
    for target in targets_of(groups):
        lines += ["", f"### {target}", "", f"| {' | '.join(names)} |"]
        lines.append("| --- |" + " ---: |" * (len(names) - 1))
        for group in groups:
            by_count = [group.given(n, target) for n in COUNTS]
            cells = [title(group.row), str(len(group.reports)), str(group.epochs)]
            cells += [percent(each["accuracy"]) for each in by_count]
            cells += [number(each["mfd_class"]) for each in by_count]
            lines.append(f"| {' | '.join(cells)} |")
            theirs = paper.get(group.row, {}).get(target)
            if theirs:
                cells = [f"*{title(group.row)}, paper*", "*5*", "*100*"]
                cells += [
                    quoted(theirs.get(f"{what}_{n}"))
                    for what in ("accuracy", "mfd")
                    for n in COUNTS
                ]
                lines.append(f"| {' | '.join(cells)} |")
    return lines[1:]


def _ceilings(groups: Sequence[Group]) -> list[str]:
    """The classifier on real data, and the MFD of real training data, by target."""
    first: dict[str, Row] = {}
    for row in groups[0].reports[0].rows:
        first.setdefault(row.target, row)
    lines = [
        "Accuracy of the classifiers on real test items, which imagined ones may "
        "exceed, for prototypes are easier to tell; and MFD of real training items "
        "against them:",
        "",
        "| target | accuracy | class MFD | features | pooled MFD | features | items |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for target in targets_of(groups):
        row = first[target]
        if row.n is None:
            continue
        cells = [
            target,
            f"{100 * row.ceiling:.1f}",
            *(_floor(row.floor_class), str(row.d_class)),
            *(_floor(row.floor_pooled), str(row.d_pooled)),
            f"{row.n:,}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _floor(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
