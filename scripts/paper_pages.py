"""Pages of the paper's tables and figures, made from the JSON of every run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from paper_cells import (
    BY_DIRECTION,
    WARMUP,
    coherence,
    directions,
    judged,
    number,
    percent,
    quoted,
)
from paper_figures import (
    CEILINGS,
    plot_fig_a21,
    plot_frontier,
    plot_table2,
    plot_table3,
)
from paper_four import table3
from paper_groups import (
    COLUMNS,
    Group,
    by_dataset,
    published,
    read_groups,
    rho_of,
    title,
)
from paper_remarks import heading, origin, remarks

from nexus_rl.cmi.spread import Spread, over_seeds
from nexus_rl.files import write_atomic, write_json


def write_pages(experiment: str, out: Path) -> list[Path]:
    """Writes ``experiment``.json, .md and pictures in ``out``; returns their paths."""
    groups = read_groups(out / experiment)
    table, plots = PAGES[experiment]
    data, page = out / f"{experiment}.json", out / f"{experiment}.md"
    write_json(data, summary(groups, by_given=experiment == "table3"))
    write_atomic(page, table(groups).encode())
    pictures = [out / f"{name}.png" for name in plots]
    for path, plot in zip(pictures, plots.values(), strict=True):
        write_atomic(path, plot(groups))
    return [data, page, *pictures]


def summary(groups: Sequence[Group], by_given: bool = False) -> list[dict[str, Any]]:
    """The figures of the page: every group, spread and direction.

    With ``by_given`` also by the number of given modalities.
    """
    rows = []
    for group in groups:
        directions = over_seeds(group.reports, ("given", "target"))
        kinds = over_seeds(group.reports, ("kind",))
        rows.append(
            {
                "dataset": group.dataset,
                "row": group.row,
                "epochs": group.epochs,
                "seeds": [run["seed"] for run in group.runs],
                "kinds": [_plain(each) for each in kinds],
                "directions": [_plain(each) for each in directions],
                "coherence": group.coherence(),
                "frontier": group.frontier(),
            }
        )
        if by_given:
            found = over_seeds(group.reports, ("target", "given_count"))
            rows[-1]["given"] = [_plain(each) for each in found]
        if data := group.runs[0].get("data"):
            rows[-1]["data"] = data
    return rows


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {k: asdict(v) if isinstance(v, Spread) else v for k, v in record.items()}


HOW = """Accuracies in %, with latents sampled. `a ± b (± c)`: mean, the paper's \
spread (population deviation of all directions and seeds), deviation over seeds. \
MFD: class-specific autoencoders (Eq. 20), image from label; lower is better. \
*Coherence*: how often image and label of a joint sample of the prior agree, in %. In \
italics what the paper reports for 100 epochs of one stage, measured with its own \
classifiers and autoencoders (and, of MHD, its own data); how its MFDs spread over a \
single direction it does not say. With two levels a seed's bottoms are trained first \
and shared by all models, whose top levels follow them epoch by epoch, as if both were \
trained at once; models of one level are trained end to end. *Latent*: dimensions of \
the top latent. """
HOW += WARMUP

FRONTIER = """Images from labels: accuracy / class MFD of the top decoder's mean, and \
with 0.5 and 1 times its calibrated noise added; one sample an item. The bottoms' own \
reconstructions of the test images and of other images of the class, and real images, \
say what full diversity looks like: who draws prototypes can be more accurate. A \
Gaussian fitted to the codes of each class is what can be had without a top level."""


def table1(groups: Sequence[Group]) -> str:
    """Tables 1a and 1b, ours beside the paper's."""
    lines = ["# Table 1: hierarchy, image and label of MHD", "", HOW]
    lines += _tables(groups, published("table1"))
    return "\n".join([*lines, "", "![Accuracy against MFD](table1.png)", ""])


def table2(groups: Sequence[Group]) -> str:
    """Tables 2a and 2b, ours beside the paper's."""
    lines = ["# Table 2: cross-modality inference, image and label", "", HOW]
    for dataset, mine in by_dataset(groups).items():
        lines += ["", *_accuracies(dataset, mine, published("table2").get(dataset, {}))]
        lines += ["", *_directions(mine), "", _ceilings(mine)]
        lines += ["", *_frontier(mine)]
    pictures = [
        "![Accuracy against MFD](table2.png)",
        "![The frontier](table2_frontier.png)",
    ]
    return "\n\n".join(["\n".join(lines), *pictures]) + "\n"


def fig_a21(groups: Sequence[Group]) -> str:
    """Fig. A.21: accuracy and MFD against rho."""
    lines = ["# Fig. A.21: the probability rho of forced perceptual dropout", "", HOW]
    lines += _tables(
        sorted(groups, key=lambda group: (group.dataset, rho_of(group))), {}
    )
    return "\n".join([*lines, "", "![Against rho](fig_a21.png)", ""])


def _directions(groups: Sequence[Group]) -> list[str]:
    return [BY_DIRECTION, "", *directions(groups)]


def ablation(groups: Sequence[Group]) -> str:
    """What each part of nexus_plus brings."""
    lines = ["# Ablation: the preset nexus_plus", "", HOW, *_tables(groups, {})]
    return "\n".join([*lines, "", "![Accuracy against MFD](ablation.png)", ""])


def _tables(groups: Sequence[Group], paper: dict[str, Any]) -> list[str]:
    """The tables of every dataset: by kind, by direction, and what real data reach."""
    lines: list[str] = []
    for dataset, mine in by_dataset(groups).items():
        lines += ["", *_accuracies(dataset, mine, paper.get(dataset, {}))]
        lines += ["", *_directions(mine), "", _ceilings(mine)]
    return lines


def _accuracies(
    dataset: str, groups: Sequence[Group], paper: dict[str, Any]
) -> list[str]:
    lines = [
        heading(dataset),
        *origin(groups),
        "",
        "| model | latent | seeds | epochs | single | joint | cross | image MFD "
        "| coherence |",
        "| --- |" + " ---: |" * 8,
    ]
    for group in groups:
        cells = [str(group.latent), str(len(group.reports)), str(group.epochs)]
        cells += [percent(group.spread(kind, "accuracy")) for kind in COLUMNS]
        cells += [number(group.spread("cross", "mfd_class")), coherence(group)]
        lines.append(f"| {title(group.row)} | {' | '.join(cells)} |")
        theirs = paper.get(group.row)
        if theirs:
            unclear = theirs.get("unclear", ())
            said = (*COLUMNS, "mfd")
            cells = [quoted(theirs.get(key), key in unclear) for key in said]
            head = f"| *{title(group.row)}, paper* | | *5* | *100* |"
            lines.append(f"{head} {' | '.join(cells)} | |")
    return [*lines, *remarks(dataset, groups, paper)]


def _ceilings(groups: Sequence[Group]) -> str:
    reports = [report for group in groups for report in group.reports]
    found = [
        next(r for r in report.rows if r.mfd_class is not None) for report in reports
    ]
    row, ceilings = found[0], [each.ceiling for each in found]
    ends = {f"{100 * each:.1f}": None for each in (min(ceilings), max(ceilings))}
    real = f"class {row.floor_class:.2f} ({row.d_class} features)"
    if row.floor_pooled is not None:
        real += f", pooled {row.floor_pooled:.2f} ({row.d_pooled})"
    return (
        f"The classifier is right on {' to '.join(ends)} % of the real test images. "
        f"MFD of {row.n_floor:,} real training images, the floor: {real}; all against "
        f"{row.n:,} test images. {judged(reports[0].judges)}"
    )


def _frontier(groups: Sequence[Group]) -> list[str]:
    known = {group.row: group.frontier() for group in groups}
    heads = list(dict.fromkeys(what for points in known.values() for what in points))
    heads.sort(key=lambda what: list(CEILINGS).index(what) if what in CEILINGS else -1)
    lines = [
        FRONTIER,
        "",
        "| model | " + " | ".join(heads) + " |",
        "| --- |" + " ---: |" * len(heads),
    ]
    for row, points in known.items():
        cells = [
            f"{100 * points[what][0]:.1f} / {points[what][1]:.1f}"
            if what in points
            else ""
            for what in heads
        ]
        lines.append(f"| {title(row)} | " + " | ".join(cells) + " |")
    return lines


Plot = Callable[[Sequence[Group]], bytes]
PAGES: dict[str, tuple[Callable[[Sequence[Group]], str], dict[str, Plot]]] = {
    "table1": (table1, {"table1": plot_table2}),
    "table2": (table2, {"table2": plot_table2, "table2_frontier": plot_frontier}),
    "table3": (table3, {"table3": plot_table3}),
    "fig_a21": (fig_a21, {"fig_a21": plot_fig_a21}),
    "ablation": (ablation, {"ablation": plot_table2}),
}
