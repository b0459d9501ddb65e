"""Whether differences between rows are larger than what seeds make of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import hypot

from paper_groups import Group, title

from nexus_rl.cmi.spread import Spread

# From the worst to the best: several findings together are the worst of them.
CONTRADICTED, UNCLEAR = "contradicted", "not confirmed"
OPEN, CONFIRMED = "open", "confirmed"
VERDICTS = (CONTRADICTED, UNCLEAR, OPEN, CONFIRMED)
Rows = Mapping[str, Group]
Finding = tuple[str, str]  # verdict, numbers
Verdict = Callable[[Spread, Spread], str]


def verdict_of(a: Spread, b: Spread, margin: float = 0.0) -> str:
    """Of the claim that ``a`` is more than ``b``, or below by less than ``margin``."""
    if a.over_seeds is None or b.over_seeds is None:
        return OPEN
    gap, noise = a.mean - b.mean, 2 * hypot(a.over_seeds, b.over_seeds)
    if gap + margin > noise:
        return CONFIRMED
    return CONTRADICTED if gap < -max(margin, noise) else UNCLEAR


def likeness_of(a: Spread, b: Spread, margin: float) -> str:
    """Of the claim that two accuracies are within ``margin`` of each other."""
    verdicts = (verdict_of(a, b, margin), verdict_of(b, a, margin))
    return min(verdicts, key=VERDICTS.index)


def every(*findings: Finding) -> Finding:
    """All of several findings."""
    verdicts = [verdict for verdict, _ in findings]
    numbers = "; ".join(numbers for _, numbers in findings if numbers)
    return min(verdicts, key=VERDICTS.index), numbers


def either(*findings: Finding) -> Finding:
    """The best of several findings."""
    numbers = " or ".join(numbers for _, numbers in findings if numbers)
    return max((verdict for verdict, _ in findings), key=VERDICTS.index), numbers


def differ(
    rows: Rows, high: str, low: str, kind: str = "cross", measure: str = "accuracy"
) -> Finding:
    """The claim that row ``high`` is above row ``low``."""
    a, b = (spread(rows, row, kind, measure) for row in (high, low))
    if a is None or b is None:
        return OPEN, ""
    what = f"{kind} accuracy" if measure == "accuracy" else "MFD"
    sides = (f"{title(row)} {shown(s, measure)}" for row, s in ((high, a), (low, b)))
    return verdict_of(a, b), f"{what}: {' against '.join(sides)}"


def compare(
    rows: Rows, one: str, other: str, kinds: Sequence[str], verdict: Verdict
) -> Finding:
    """A claim about the accuracies of two rows."""
    findings = []
    for kind in kinds:
        a, b = (spread(rows, row, kind, "accuracy") for row in (one, other))
        if a is None or b is None:
            return OPEN, ""
        numbers = f"{kind} {shown(a, 'accuracy')} against {shown(b, 'accuracy')}"
        findings.append((verdict(a, b), numbers))
    return every(*findings)


def spread(rows: Rows, row: str, kind: str, measure: str) -> Spread | None:
    return rows[row].spread(kind, measure) if row in rows else None


def shown(value: Spread, measure: str) -> str:
    scale = 100 if measure.startswith("accuracy") else 1
    text = f"{scale * value.mean:.1f}"
    if value.over_seeds is not None:
        text += f" ± {scale * value.over_seeds:.1f}"
    return text
