"""Whether the paper's claims hold here, from the runs' JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from paper_groups import (
    MIXTURES,
    NEWER,
    Group,
    by_dataset,
    model_of,
    read_groups,
    title,
)
from paper_runs import RHOS
from paper_verdicts import (
    OPEN,
    Finding,
    Rows,
    compare,
    differ,
    either,
    every,
    likeness_of,
    shown,
    spread,
    verdict_of,
)

from nexus_rl.files import write_atomic

INTRODUCTION = """# The paper's claims

The paper's claims, with image and label (Tables 1 and 2, Fig. A.21) and with four \
modalities (Table 3). Those about levels and rho, which it makes for image and label \
of MHD alone, are asked on every dataset, and all of four modalities also of a split \
(mhd_disjoint) that the paper has not. Written by `scripts/reproduce_paper.py` from \
its runs.

The two sides of a comparison stand as `a against b`. The noise is 2 √(sd_a² + sd_b²), \
of standard deviations over seeds; not of standard errors, for the deviation of two or \
three seeds is itself a guess.

- *confirmed*: it differs as claimed, by more than the noise
- *contradicted*: it differs the other way, by more than the noise
- *not confirmed*: it differs by less
- *open*: not measured here with two seeds

"As well" is not more than two points below, "flat" within two points, "roughly" \
within five; confirmed where the noise leaves no doubt of it.

Accuracies in %, mean ± deviation over seeds. MFD of images from labels, by \
autoencoders of the classes, as the paper says; the last column has the same by one \
for all classes, as its code does: which of them was printed is not known. With four \
modalities a claim is about every target named, from sets of one or of three given \
others.

The KL weights rise over 20 epochs, as in the paper's code, which then trains for 80 \
more at full weight: shorter runs end before that. Models of one level have a latent \
of 64 dimensions and models of two a top latent of 16, as the paper says, so claims \
about levels are about both."""

Test = Callable[[Rows, str], Finding]  # of the rows, by one kind of MFD


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
    known = {name for groups in found.values() for name in groups}
    for dataset in sorted({"mhd_image_label", *known}):
        groups = [g for each in found.values() for g in each.get(dataset, [])]
        claims = CLAIMS | OF_DATASET.get(dataset, {}) | RHO_CLAIMS
        lines += _section(dataset, groups, claims)
    for dataset in sorted({"mhd", *four}):
        name = f"{dataset}, four modalities"
        lines += _section(name, four.get(dataset, []), FOUR_CLAIMS)
    path = out / "claims.md"
    write_atomic(path, ("\n\n".join(lines) + "\n").encode())
    return path


def _section(
    name: str, groups: Sequence[Group], claims: Mapping[str, Test]
) -> list[str]:
    """The claims about one dataset, from the runs that were trained alike.

    Of several ways to train, as long as another or not, that with most runs counts.
    """
    runs: Counter[tuple[int, str]] = Counter()
    for group in groups:
        runs[group.schedule] += len(group.reports)
    schedule = max(runs, key=lambda each: (runs[each], each), default=(0, ""))
    rows = {g.row: g for g in groups if g.schedule == schedule}
    lines = ["| claim | here | numbers | by the pooled MFD |", "| --- |" + " --- |" * 3]
    for claim, test in claims.items():
        verdict, numbers = test(rows, "mfd_class")
        pooled = test(rows, "mfd_pooled")
        other = ": ".join(pooled) if pooled[1] not in ("", numbers) else ""
        lines.append(f"| {claim} | {verdict} | {numbers} | {other} |")
    head = f"## {name}, {schedule[0]} epochs" if rows else f"## {name}"
    return [head, "\n".join(lines)]


def best(rows: Rows, mfd: str) -> Finding:
    """Nexus against every model of every family; open while one is not measured."""
    findings = []
    for family in ("mvae", "mmvae", *NEWER, "vae"):
        known = [row for row in rows if model_of(row) == family and "plus" not in row]
        findings += [differ(rows, "nexus_2", row) for row in known] or [(OPEN, "")]
    return every(*findings)


def only(rows: Rows, mfd: str) -> Finding:
    """Who is as accurate as Nexus has a higher MFD, and the other way round."""
    return every(
        *(
            either(
                differ(rows, "nexus_2", rival),
                differ(rows, rival, "nexus_2", measure=mfd),
            )
            for rival in ("mvae_1", "mmvae_1")
        )
    )


CLAIMS: dict[str, Test] = {
    "Neither MVAE nor MMVAE (single level) is as good as Nexus in both accuracy and "
    "MFD": only,
    "A second level lowers the MFD of Nexus": lambda rows, mfd: differ(
        rows, "nexus_1", "nexus_2", measure=mfd
    ),
    "A second level leaves the accuracy of Nexus roughly as it is": (
        lambda rows, mfd: compare(
            rows, "nexus_2", "nexus_1", ["cross"], partial(likeness_of, margin=0.05)
        )
    ),
    "With two modalities concatenation (Nexus-0) does as well as the mean": (
        lambda rows, mfd: compare(
            *(rows, "nexus0_2", "nexus_2", ["single", "joint", "cross"]),
            partial(verdict_of, margin=0.02),
        )
    ),
    "Single-level MVAE: cross-modality accuracy is low": lambda rows, mfd: differ(
        rows, "nexus_2", "mvae_1"
    ),
    "Single-level MVAE: its MFD is lower than that of Nexus": lambda rows, mfd: differ(
        rows, "nexus_2", "mvae_1", measure=mfd
    ),
    "A second level raises accuracy and MFD of MVAE": lambda rows, mfd: every(
        differ(rows, "mvae_2", "mvae_1"),
        differ(rows, "mvae_2", "mvae_1", measure=mfd),
    ),
    "A second level raises the MFD of MMVAE": lambda rows, mfd: differ(
        rows, "mmvae_2", "mmvae_1", measure=mfd
    ),
    "Not in the paper: cross-modality accuracy of Nexus is above that of every other "
    "family of models, correctly trained, with either number of levels": best,
}

HIGHEST: dict[str, Test] = {
    "MMVAE (single level) has the highest MFD": lambda rows, mfd: every(
        *(
            differ(rows, "mmvae_1", row, measure=mfd)
            for row in ("nexus_2", "nexus0_2", "mvae_1")
        )
    ),
}
OF_DATASET: dict[str, dict[str, Test]] = {
    "mnist": {
        "Cross-modality accuracy: Nexus is above MMVAE (single level)": (
            lambda rows, mfd: differ(rows, "nexus_2", "mmvae_1")
        ),
        **HIGHEST,
    },
    "fashion_mnist": {
        "Cross-modality accuracy: MMVAE (single level) is above Nexus": (
            lambda rows, mfd: differ(rows, "mmvae_1", "nexus_2")
        ),
        **HIGHEST,
    },
}


def joint(rows: Rows, mfd: str) -> Finding:
    """Joint accuracy falls where every row is dropped, and not before."""
    drop = differ(rows, "rho0.8", "rho1", "joint")
    names = [f"rho{rho:g}" for rho in RHOS if rho < 1]
    found = {row: spread(rows, row, "joint", "accuracy") for row in names}
    below = {row: each for row, each in found.items() if each}
    if drop[0] == OPEN or len(below) < len(names):
        return OPEN, drop[1]
    ends = [end(below.values(), key=lambda each: each.mean) for end in (max, min)]
    flat = likeness_of(*ends, margin=0.02)
    numbers = [f"{title(row)} {shown(each, 'accuracy')}" for row, each in below.items()]
    return every(drop, (flat, ", ".join(numbers)))


RHO_CLAIMS: dict[str, Test] = {
    "Without dropout (rho 0) single and cross accuracy are low": (
        lambda rows, mfd: every(
            *(differ(rows, "rho0.1", "rho0", kind) for kind in ("single", "cross"))
        )
    ),
    "A larger rho raises the MFD, from 0 to 0.05": lambda rows, mfd: differ(
        rows, "rho0.05", "rho0", measure=mfd
    ),
    "A larger rho raises the MFD, from 0.05 to 0.8": lambda rows, mfd: differ(
        rows, "rho0.8", "rho0.05", measure=mfd
    ),
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


def lowest(rows: Rows, mfd: str) -> Finding:
    """No model's images have a lower MFD than those of Nexus.

    Beside the paper's models those that have two seeds are asked.
    """
    several = [row for row, group in rows.items() if len(group.reports) > 1]
    rivals = dict.fromkeys(["nexus0_2", "mvae_2", "mmvae_2", *several])
    # Of mixtures one expert is chosen: more modalities tell no more.
    sides = [
        (row, count)
        for row in rivals
        for count in ((1,) if model_of(row) in MIXTURES else (1, 3))
        if row != "nexus_2"
    ]
    findings = []
    for row, count in sides:
        verdict, numbers = by_target(
            rows, (row, count), ("nexus_2", count), mfd, ["image"]
        )
        named = f"{title(row)}, {count} given: {numbers.removeprefix('image ')}"
        findings.append((verdict, named if numbers else ""))
    return every(*findings)


FOUR_CLAIMS: dict[str, Test] = {
    "Nexus: accuracy rises from one to three given modalities": (
        lambda rows, mfd: by_target(rows, ("nexus_2", 3), ("nexus_2", 1))
    ),
    "Nexus: MFD falls from one to three given modalities": lambda rows, mfd: by_target(
        rows, ("nexus_2", 1), ("nexus_2", 3), mfd, SENSED
    ),
    "One given: the mean is above concatenation (Nexus-0)": (
        lambda rows, mfd: from_one(rows, "nexus0_2")
    ),
    "One given: Nexus is above MVAE": lambda rows, mfd: from_one(rows, "mvae_2"),
    "Not in the paper: one given, Nexus is above an MMVAE with every expert trained": (
        lambda rows, mfd: from_one(rows, "mmvae_2")
    ),
    "Not in the paper: three given, Nexus is above such an MMVAE": lambda rows, mfd: (
        by_target(rows, ("nexus_2", 3), ("mmvae_2", 3))
    ),
    "Nexus has the lowest MFD of images": lowest,
    "One given: trajectories and sounds of MVAE have a lower MFD than those of Nexus": (
        lambda rows, mfd: by_target(
            rows, ("nexus_2", 1), ("mvae_2", 1), mfd, ("trajectory", "sound")
        )
    ),
}
