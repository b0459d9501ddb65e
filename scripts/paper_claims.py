"""Whether the paper's claims hold here, from the runs' JSON."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import hypot
from pathlib import Path

from paper_groups import Group, by_dataset, read_groups, rho_of, title

from nexus_rl.cmi.spread import Spread
from nexus_rl.files import write_atomic

CONFIRMED, REFUTED, OPEN = "confirmed", "not confirmed", "open"
Rows = Mapping[str, Group]
Finding = tuple[str, str]  # verdict, numbers

INTRODUCTION = """# The paper's claims

Each claim of the paper that two modalities can test, on each dataset; written by \
`scripts/reproduce_paper.py` from its runs of Table 2 and Fig. A.21. A difference \
counts if it is more than twice the seeds' standard deviations of both sides together; \
what differs less is *not confirmed* where a difference is claimed. *Open*: not \
measured here. Accuracies in %, mean ± deviation over seeds; MFD of images from labels \
(class)."""


def write_claims(out: Path) -> Path:
    """Writes ``claims.md`` from whatever experiments are in ``out``."""
    found: dict[str, dict[str, list[Group]]] = {}
    for experiment in ("table2", "fig_a21"):
        if any((out / experiment).glob("*.json")):
            found[experiment] = by_dataset(read_groups(out / experiment))
    datasets = sorted({name for groups in found.values() for name in groups})
    lines = [INTRODUCTION]
    for dataset in datasets:
        rows = {g.row: g for g in found.get("table2", {}).get(dataset, [])}
        rhos = sorted(found.get("fig_a21", {}).get(dataset, []), key=rho_of)
        table = ["| claim | here | numbers |", "| --- | --- | --- |"]
        for claim, test in CLAIMS.items():
            table.append(f"| {claim} | {' | '.join(test(rows))} |")
        for claim, by_rho in RHO_CLAIMS.items():
            table.append(f"| {claim} | {' | '.join(by_rho(rhos))} |")
        lines += [f"## {dataset}", "\n".join(table)]
    path = out / "claims.md"
    write_atomic(path, ("\n\n".join(lines) + "\n").encode())
    return path


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
    clear = more(a, b)
    return OPEN if clear is None else CONFIRMED if clear else REFUTED, numbers


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
    """Concatenation and mean: within two points, or within the seeds' noise."""
    kinds = ("single", "joint", "cross")
    pairs = [
        tuple(spread(rows, row, kind, "accuracy") for row in ("nexus_2", "nexus0_2"))
        for kind in kinds
    ]
    said, verdict = [], CONFIRMED
    for kind, (a, b) in zip(kinds, pairs, strict=True):
        if a is None or b is None:
            return OPEN, ""
        said.append(f"{kind} {shown(a, 'accuracy')} and {shown(b, 'accuracy')}")
        if abs(a.mean - b.mean) > 0.02 and (more(a, b) or more(b, a)):
            verdict = REFUTED
    return verdict, "; ".join(said)


def best(rows: Rows) -> Finding:
    """Nexus against the strongest other model of each level, correct ones."""
    others = {
        row: found
        for row in rows
        if not row.startswith("nexus")
        and (found := spread(rows, row, "cross", "accuracy")) is not None
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
    "Cross-modality accuracy: Nexus is above every other model": best,
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
    a, b = (spread(rows, row, "joint", "accuracy") for row in ("rho0.1", "rho0.8"))
    if a is None or b is None:
        return drop
    flat = CONFIRMED if abs(a.mean - b.mean) < 0.02 else REFUTED
    return every(drop, (flat, f"rho 0.1: {shown(a, 'accuracy')}"))


RHO_CLAIMS: dict[str, Callable[[Sequence[Group]], Finding]] = {
    "Without dropout (rho 0) single and cross accuracy are low": (needed),
    "A larger rho raises the MFD": prototypes,
    "Joint accuracy is flat below rho 1, and drops there": joint,
}
