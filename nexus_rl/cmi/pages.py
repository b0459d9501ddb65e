"""A report's figures in Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from nexus_rl.cmi.report import Point, Report
from nexus_rl.cmi.spread import over_seeds

Column = tuple[str, list[str]]


def table(report: Report) -> str:
    """What was measured and how, then a row a direction and model."""
    settings = report.settings
    lines = [
        f"Accuracy in % on {settings['items']:,} test items of {settings['dataset']}, "
        f"{settings['samples']} samples an item: with latents drawn (the paper), and "
        "with posterior means; ceiling: of the classifier on the real test items."
    ]
    lines += _said_of_mfd(report)
    lines += ["", *_directions(report), "", *_averages(report)]
    for each in report.coherence:
        lines += [
            "",
            f"{each.model}: {100 * each.agreement:.1f} % of {each.n:,} joint samples "
            f"of the prior are of one class in {' and '.join(each.modalities)}.",
        ]
    if report.frontier:
        lines += ["", *_frontier(report.frontier)]
    return "\n".join(lines) + "\n"


def _said_of_mfd(report: Report) -> list[str]:
    measured = {row.target: row for row in report.rows if row.n is not None}
    if not measured:
        return []
    lines = [
        "MFD, lower is better: of one sample an item from the real test items, with an "
        "autoencoder a class (the paper, Eq. 20) or one for all (pooled); floor: of "
        "real training items. Its scale is that of the autoencoders."
    ]
    for target, row in measured.items():
        sizes = [
            f"{d} ({kind})"
            for kind, d in (("class", row.d_class), ("pooled", row.d_pooled))
            if d is not None
        ]
        lines.append(
            f"MFD of {target}: n = {row.n:,} (floor: {row.n_floor:,}) in "
            f"{report.settings['classes']} classes, d = {', '.join(sizes)}."
        )
    return lines


def _directions(report: Report) -> list[str]:
    order = list(dict.fromkeys(row.direction for row in report.rows))
    rows = sorted(report.rows, key=lambda row: order.index(row.direction))
    return _markdown(
        [
            ("given", [", ".join(row.given) for row in rows]),
            ("imagined", [row.target for row in rows]),
            ("kind", [row.kind for row in rows]),
            ("model", [row.model for row in rows]),
        ],
        [
            ("accuracy", [percent(row.accuracy) for row in rows]),
            ("means", [percent(row.accuracy_means) for row in rows]),
            ("ceiling", [percent(row.ceiling) for row in rows]),
            ("class MFD", [number(row.mfd_class) for row in rows]),
            ("floor", [number(row.floor_class) for row in rows]),
            ("pooled MFD", [number(row.mfd_pooled) for row in rows]),
            ("floor", [number(row.floor_pooled) for row in rows]),
        ],
    )


def _averages(report: Report) -> list[str]:
    groups = [
        (model, group)
        for model in report.models
        for group in over_seeds([report.of(model)], ("kind", "given_count"))
    ]
    said = [
        f"{percent(group['accuracy'].mean)} ± {percent(group['accuracy'].pooled)}"
        for _, group in groups
    ]
    return [
        "Mean accuracy over directions ± their (population) standard deviation, by the "
        "paper's kinds and the number of modalities given:",
        "",
        *_markdown(
            [
                ("kind", [group["kind"] for _, group in groups]),
                ("model", [model for model, _ in groups]),
            ],
            [
                ("given", [str(group["given_count"]) for _, group in groups]),
                ("accuracy", said),
            ],
        ),
    ]


def _frontier(points: Sequence[Point]) -> list[str]:
    given = ", ".join(points[0].given)
    return [
        f"Imagined from {given}: accuracy against diversity. "
        "noise: added to the top decoder's mean, in standard deviations of its error; "
        "bottom: reconstructions of the test items by the bottom level alone, or of "
        "other, training items of the same class; class Gaussian: codes from one that "
        "is fitted to each class, without a top level; real: test items (training "
        "items for the MFD).",
        "",
        *_markdown(
            [
                ("model", [point.model for point in points]),
                ("target", [point.target for point in points]),
                ("what", [point.what for point in points]),
            ],
            [
                ("accuracy", [percent(point.accuracy) for point in points]),
                ("class MFD", [number(point.mfd_class) for point in points]),
            ],
        ),
    ]


def _markdown(words: Sequence[Column], numbers: Sequence[Column]) -> list[str]:
    """A table without the columns that say nothing."""
    columns = [(title, cells, "---") for title, cells in words]
    columns += [(title, cells, "---:") for title, cells in numbers]
    columns = [column for column in columns if set(column[1]) != {""}]
    titles, cells, rules = zip(*columns, strict=True)
    lines = [titles, rules, *zip(*cells, strict=True)]
    return [f"| {' | '.join(line)} |" for line in lines]


def percent(value: float | None) -> str:
    """A fraction of 1 in %; nothing for None."""
    return "" if value is None else f"{100 * value:.1f}"


def number(value: float | None) -> str:
    """An MFD, which may be of any size; nothing for None."""
    return "" if value is None else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
