"""Cells and tables that several pages of the paper's experiments share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

from paper_groups import Group, title

from nexus_rl.cmi.judges import MOST_EPOCHS
from nexus_rl.cmi.spread import Spread, over_seeds

WARMUP = """The KL weights rise over 20 epochs, as in the paper's code: runs of 20 \
epochs end as soon as the weights are full, where the paper's go on for 80."""

BY_DIRECTION = """By direction: accuracy sampled / with posterior means; MFD class / \
pooled. From a label alone posterior means make one item a class, so that their \
accuracy goes in steps of a class, about 10 %, a seed."""


def judged(judges: Mapping[str, Any]) -> str:
    """How classifiers and autoencoders were trained."""
    few = "".join(
        f" (those of {name}, on its distinct rows, for as many steps or {MOST_EPOCHS} "
        "epochs, whichever is less)"
        for name in judges.get("distinct", {})
    )
    return (
        f"Classifiers and autoencoders were trained for {judges['classifier_epochs']} "
        f"and {judges['autoencoder_epochs']} epochs{few} with batches of "
        f"{judges['batch_size']}; in the paper's code for 100, autoencoders of images "
        "with batches of 16, so that MFDs do not compare with the paper's."
    )


def percent(spread: Spread | None) -> str:
    """An accuracy with both spreads, in %."""
    return "-" if spread is None else _shown(spread, 100)


def number(spread: Spread | None) -> str:
    """An MFD with both spreads; it may be of any size.

    The paper's spread is that of directions: of one there is none.
    """
    return "-" if spread is None else _shown(spread, 1, 1 if spread.mean >= 10 else 3)


def coherence(group: Group) -> str:
    """How often joint samples agree, in %, and how much seeds differ."""
    shares = [100 * share for share in group.coherence()]
    if not shares:
        return "-"
    spread = f" (± {stdev(shares):.1f})" if len(shares) > 1 else ""
    return f"{fmean(shares):.1f}{spread}"


def _shown(spread: Spread, scale: float, digits: int = 1) -> str:
    text = f"{scale * spread.mean:.{digits}f}"
    if spread.directions > 1:
        text += f" ± {scale * spread.pooled:.{digits}f}"
    if spread.over_seeds is not None:
        text += f" (± {scale * spread.over_seeds:.{digits}f})"
    return text


def quoted(value: Sequence[float] | None, unclear: bool = False) -> str:
    """What the paper says, in italics; † where its print is unclear."""
    said = f"{value[0]:g} ± {value[1]:g}" if value else "-"
    return f"*{said}{' †' * unclear}*"


def directions(groups: Sequence[Group], target: str | None = None) -> list[str]:
    """Each direction apart (to ``target``): sampled accuracy, with means, both MFDs."""
    records = [
        [
            each
            for each in over_seeds(group.reports, ("given", "target"))
            if target in (None, each["target"])
        ]
        for group in groups
    ]
    heads = [f"{', '.join(each['given'])} -> {each['target']}" for each in records[0]]
    lines = [
        "| model | " + " | ".join(heads) + " |",
        "| --- |" + " ---: |" * len(heads),
    ]
    for group, record in zip(groups, records, strict=True):
        cells = [_direction(each) for each in record]
        lines.append(f"| {title(group.row)} | " + " | ".join(cells) + " |")
    return lines


def _direction(record: dict[str, Spread | None]) -> str:
    def known(*measures: str) -> list[float]:
        found = [record[name] for name in measures]
        return [spread.mean for spread in found if spread is not None]

    accuracies = [f"{100 * each:.1f}" for each in known("accuracy", "accuracy_means")]
    mfds = [
        f"{each:.0f}" if each >= 10 else f"{each:.2f}"
        for each in known("mfd_class", "mfd_pooled")
    ]
    return "; ".join(" / ".join(cells) for cells in (accuracies, mfds) if cells)
