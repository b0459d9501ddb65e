"""Whether the paper's claims hold here, from the runs' JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import hypot
from pathlib import Path

from paper_groups import MIXTURES, Group, by_dataset, read_groups, rho_of, title
from paper_runs import RHOS

from nexus_rl.cmi.spread import Spread
from nexus_rl.files import write_atomic

CONFIRMED, REFUTED, OPEN = "confirmed", "not confirmed", "open"
Rows = Mapping[str, Group]
Finding = tuple[str, str]  # verdict, numbers

INTRODUCTION = """# The paper's claims

Each claim of the paper, on each dataset: with image and label (Tables 1 and 2, \
Fig. A.21), and with four modalities (Table 3); written by \
`scripts/reproduce_paper.py` from its runs. A difference \
counts if it is more than twice the seeds' standard deviations of both sides together; \
what differs less is *not confirmed* where a difference is claimed. *Open*: not \
measured here with two seeds. Accuracies in %, mean ± deviation over seeds; MFD of \
images from labels (class). With four modalities a claim is about every target named, \
from sets of one or of three given others, the two sides as `a against b`.

Runs are shorter here: 20 epochs, over all of which the KL weights rise as in the \
paper's code; the paper trains for 80 more at full weight. Models of one level have a \
latent of 64 dimensions and models of two a top latent of 16, as the paper says, so \
claims about levels are about both."""


def write_claims(out: Path) -> Path:
    """Writes ``claims.md`` from whatever experiments are in ``out``."""
    found = {
        experiment: by_dataset(read_groups(out / experiment))
        if any((out / experiment).glob("*.json"))
        else {}
        for experiment in ("table1", "table2", "fig_a21", "table3")
    }
    four = found.pop("table3")
    lines = [INTRODUCTION]
    for dataset in sorted({name for groups in found.values() for name in groups}):
        of_tables = [found[name].get(dataset, []) for name in ("table1", "table2")]
        rows = {group.row: group for groups in of_tables for group in groups}
        rhos = sorted(found["fig_a21"].get(dataset, []), key=rho_of)
        findings = {claim: test(rows) for claim, test in CLAIMS.items()}
        findings |= {claim: test(rhos) for claim, test in RHO_CLAIMS.items()}
        lines += [f"## {dataset}", _table(findings)]
    for dataset in sorted({"mhd", *four}):
        rows = {group.row: group for group in four.get(dataset, [])}
        findings = {claim: test(rows) for claim, test in FOUR_CLAIMS.items()}
        lines += [f"## {dataset}, four modalities", _table(findings)]
    path = out / "claims.md"
    write_atomic(path, ("\n\n".join(lines) + "\n").encode())
    return path


def _table(findings: Mapping[str, Finding]) -> str:
    lines = ["| claim | here | numbers |", "| --- | --- | --- |"]
    lines += [f"| {claim} | {' | '.join(told)} |" for claim, told in findings.items()]
    return "\n".join(lines)


def more(a: Spread, b: Spread) -> bool | None:
    """Whether ``a`` is clearly more than ``b``; None if that cannot be told."""
    if a.over_seeds is None or b.over_seeds is None:
        return None
    return a.mean - b.mean > 2 * hypot(a.over_seeds, b.over_seeds)


def differ(
    rows: Rows, high: str, low: str, kind: str = "cross", measure: str = "accuracy"
) -> Finding:
    """The claim that row ``high`` is above row ``low``."""
    a, b = (spread(rows, row, kind, measure) for row in (high, low))
    if a is None or b is None:
        return OPEN, ""
    numbers = f"{title(high)} {shown(a, measure)}, {title(low)} {shown(b, measure)}"
    return verdict_of(a, b), numbers


def verdict_of(a: Spread, b: Spread) -> str:
    """Of the claim that ``a`` is more than ``b``."""
    clear = more(a, b)
    return OPEN if clear is None else CONFIRMED if clear else REFUTED


def spread(rows: Rows, row: str, kind: str, measure: str) -> Spread | None:
    return rows[row].spread(kind, measure) if row in rows else None


def shown(value: Spread, measure: str) -> str:
    scale = 100 if measure.startswith("accuracy") else 1
    text = f"{scale * value.mean:.1f}"
    if value.over_seeds is not None:
        text += f" ± {scale * value.over_seeds:.1f}"
    return text


def every(*findings: Finding) -> Finding:
    """All of several findings."""
    verdicts = [verdict for verdict, _ in findings]
    verdict = next((v for v in (REFUTED, OPEN) if v in verdicts), CONFIRMED)
    return verdict, "; ".join(numbers for _, numbers in findings if numbers)


def alike(rows: Rows) -> Finding:
    """Concatenation and mean: within two points, or within the seeds' noise.

    Open where they are further apart and the noise is not known.
    """
    findings = []
    for kind in ("single", "joint", "cross"):
        a, b = (spread(rows, row, kind, "accuracy") for row in ("nexus_2", "nexus0_2"))
        if a is None or b is None:
            return OPEN, ""
        numbers = f"{kind} {shown(a, 'accuracy')} and {shown(b, 'accuracy')}"
        findings.append((_likeness(a, b), numbers))
    return every(*findings)


def _likeness(a: Spread, b: Spread) -> str:
    if abs(a.mean - b.mean) <= 0.02:
        return CONFIRMED
    clear = (more(a, b), more(b, a))
    return REFUTED if True in clear else OPEN if None in clear else CONFIRMED


def best(rows: Rows) -> Finding:
    """Nexus against the strongest other model that has at least two seeds."""
    others = {
        row: found
        for row in rows
        if not (row.startswith("nexus") or row.endswith("_plus"))
        and (found := spread(rows, row, "cross", "accuracy")) is not None
        and found.over_seeds is not None
    }
    if not others:
        return OPEN, ""
    rival = max(others, key=lambda row: others[row].mean)
    return differ(rows, "nexus_2", rival)


CLAIMS: dict[str, Callable[[Rows], Finding]] = {
    "A second level lowers the MFD of Nexus": lambda rows: differ(
        rows, "nexus_1", "nexus_2", measure="mfd_class"
    ),
    "With two modalities concatenation (Nexus-0) does as well as the mean": alike,
    "Single-level MVAE: cross-modality accuracy is low": lambda rows: differ(
        rows, "nexus_2", "mvae_1"
    ),
    "Single-level MVAE: its MFD is lower than that of Nexus": lambda rows: differ(
        rows, "nexus_2", "mvae_1", measure="mfd_class"
    ),
    "A second level raises accuracy and MFD of MVAE": lambda rows: every(
        differ(rows, "mvae_2", "mvae_1"),
        differ(rows, "mvae_2", "mvae_1", measure="mfd_class"),
    ),
    "MMVAE (single level) has the highest MFD": lambda rows: every(
        *(
            differ(rows, "mmvae_1", row, measure="mfd_class")
            for row in ("nexus_2", "nexus0_2", "mvae_1")
        )
    ),
    "A second level raises the MFD of MMVAE": lambda rows: differ(
        rows, "mmvae_2", "mmvae_1", measure="mfd_class"
    ),
    "Joint accuracy: Nexus is above MVAE": lambda rows: differ(
        rows, "nexus_2", "mvae_1", "joint"
    ),
    "Cross-modality accuracy: Nexus is above every other family of models": best,
}


def needed(groups: Sequence[Group]) -> Finding:
    """Without dropout, single and cross accuracy are low."""
    rows = {group.row: group for group in groups}
    return every(
        *(differ(rows, "rho0.1", "rho0", kind) for kind in ("single", "cross"))
    )


def prototypes(groups: Sequence[Group]) -> Finding:
    """More dropout, more prototypical images."""
    rows = {group.row: group for group in groups}
    return differ(rows, "rho0.8", "rho0.05", measure="mfd_class")


def joint(groups: Sequence[Group]) -> Finding:
    """Joint accuracy falls where every row is dropped, and not before."""
    rows = {group.row: group for group in groups}
    drop = differ(rows, "rho0.8", "rho1", "joint")
    found = {row: spread(rows, row, "joint", "accuracy") for row in rows}
    below = {row: each for row, each in found.items() if each and row != "rho1"}
    if drop[0] == OPEN or len(below) < len(RHOS) - 1:
        return OPEN, drop[1]
    means = [each.mean for each in below.values()]
    flat = CONFIRMED if max(means) - min(means) < 0.02 else REFUTED
    numbers = [f"{title(row)} {shown(each, 'accuracy')}" for row, each in below.items()]
    return every(drop, (flat, ", ".join(numbers)))


RHO_CLAIMS: dict[str, Callable[[Sequence[Group]], Finding]] = {
    "Without dropout (rho 0) single and cross accuracy are low": (needed),
    "A larger rho raises the MFD": prototypes,
    "Joint accuracy is flat below rho 1, and drops there": joint,
}

SENSED = ("image", "trajectory", "sound")
TARGETS = (*SENSED, "label")
Side = tuple[str, int]  # row, number of given modalities


def by_target(
    rows: Rows,
    high: Side,
    low: Side,
    measure: str = "accuracy",
    targets: Sequence[str] = TARGETS,
) -> Finding:
    """The claim that ``high`` is above ``low`` for each of ``targets``."""
    findings = []
    for target in targets:
        a, b = (
            rows[row].given(count, target)[measure] if row in rows else None
            for row, count in (high, low)
        )
        if a is None or b is None:
            return OPEN, ""
        numbers = f"{target} {shown(a, measure)} against {shown(b, measure)}"
        findings.append((verdict_of(a, b), numbers))
    return every(*findings)


def from_one(rows: Rows, rival: str) -> Finding:
    """Nexus against another model, one modality given."""
    return by_target(rows, ("nexus_2", 1), (rival, 1))


def lowest(rows: Rows) -> Finding:
    """No model's images have a lower MFD than those of Nexus."""
    rivals = dict.fromkeys(["nexus0_2", "mvae_2", "mmvae_2", *rows])
    # Of mixtures one expert is chosen: more modalities tell no more.
    sides = [
        (row, count)
        for row in rivals
        for count in ((1,) if row.partition("_")[0] in MIXTURES else (1, 3))
        if row != "nexus_2"
    ]
    findings = []
    for row, count in sides:
        verdict, numbers = by_target(
            rows, (row, count), ("nexus_2", count), "mfd_class", ["image"]
        )
        named = f"{title(row)}, {count} given: {numbers.removeprefix('image ')}"
        findings.append((verdict, named if numbers else ""))
    return every(*findings)


FOUR_CLAIMS: dict[str, Callable[[Rows], Finding]] = {
    "Nexus: accuracy rises from one to three given modalities": lambda rows: by_target(
        rows, ("nexus_2", 3), ("nexus_2", 1)
    ),
    "Nexus: MFD falls from one to three given modalities": lambda rows: by_target(
        rows, ("nexus_2", 1), ("nexus_2", 3), "mfd_class", SENSED
    ),
    "One given: the mean is above concatenation (Nexus-0)": lambda rows: from_one(
        rows, "nexus0_2"
    ),
    "One given: Nexus is above MVAE": lambda rows: from_one(rows, "mvae_2"),
    "Not in the paper: one given, Nexus is above an MMVAE with every expert trained": (
        lambda rows: from_one(rows, "mmvae_2")
    ),
    "Nexus has the lowest MFD of images": lowest,
    "One given: trajectories and sounds of MVAE have a lower MFD than those of Nexus": (
        lambda rows: by_target(
            rows, ("nexus_2", 1), ("mvae_2", 1), "mfd_class", ("trajectory", "sound")
        )
    ),
}
