"""What was expected of agents whose sensors fail, and whether it came true."""

from __future__ import annotations

from collections.abc import Callable
from statistics import fmean

from agent_rows import CORE, ORACLE
from agent_scores import Measured

from agents.conditions import EVERYTHING
from agents.scores import retained

YES, NO, OPEN = "confirmed", "not confirmed", "open"
Finding = tuple[str, str]

SEEN = ("missing", "bursts")  # schedules like those of training under dropout
UNSEEN = ("bernoulli", "windows", "blackout", "corruption")


def mean(found: Measured, row: str, conditions: list[str]) -> float | None:
    values = found.values(row, conditions)
    return fmean(values) if values else None


def told(found: Measured, scores: dict[str, float]) -> str:
    return ", ".join(
        f"{found.titles[row]} {score:.2f}" for row, score in scores.items()
    )


def scores_of(
    found: Measured, rows: tuple[str, ...], conditions: list[str]
) -> dict[str, float] | None:
    """The mean score of each row; None unless all were measured."""
    scores = {row: mean(found, row, conditions) for row in rows}
    known = {row: score for row, score in scores.items() if score is not None}
    return known if len(known) == len(rows) else None


def judged(right: bool) -> str:
    return YES if right else NO


def complete(found: Measured) -> Finding:
    rows = ("nexus", "raw", "raw_dropout")
    scores = scores_of(found, rows, [EVERYTHING])
    if scores is None:
        return OPEN, ""
    best = max(scores["raw"], scores["raw_dropout"])
    return judged(scores["nexus"] >= 0.9 * best), told(found, scores)


def lost(found: Measured) -> Finding:
    rows = ("nexus", "raw")
    whole = scores_of(found, rows, [EVERYTHING])
    verdicts, numbers = [], []
    for name in found.group("missing"):
        part = scores_of(found, rows, [name])
        if whole is None or part is None:
            return OPEN, ""
        shares = {row: retained(part[row], whole[row], 0.0) for row in rows}
        kept = {row: share for row, share in shares.items() if share is not None}
        if len(kept) < len(rows):
            return OPEN, f"no better than random with all sensors: {told(found, whole)}"
        verdicts.append(kept["nexus"] >= 0.7 and kept["raw"] <= 0.3)
        numbers.append(f"{name}: {told(found, kept)}")
    return (judged(all(verdicts)) if verdicts else OPEN), "; ".join(numbers)


def worst(found: Measured) -> Finding:
    compared = ("nexus", "mvae", "mmvae", "nexus_plain")
    rows = [row for row in compared if row in found.plan.rows]
    if len(rows) < 2:
        return OPEN, ""
    lowest: dict[str, float] = {}
    for row in rows:
        each = [mean(found, row, [name]) for name in found.group("missing")]
        known = [score for score in each if score is not None]
        if not known or len(known) < len(each):
            return OPEN, ""
        lowest[row] = min(known)
    right = all(lowest["nexus"] > lowest[row] for row in rows[1:])
    return judged(right), told(found, lowest)


def schedules(found: Measured) -> Finding:
    rows = ("nexus", "raw_dropout")
    seen = scores_of(found, rows, found.group(*SEEN))
    unseen = scores_of(found, rows, found.group(*UNSEEN))
    if seen is None or unseen is None:
        return OPEN, ""
    right = abs(seen["nexus"] - seen["raw_dropout"]) <= 0.1 and (
        unseen["nexus"] >= unseen["raw_dropout"]
    )
    numbers = [f"seen: {told(found, seen)}", f"others: {told(found, unseen)}"]
    for group in UNSEEN:
        part = scores_of(found, rows, found.group(group))
        numbers += [f"{group} alone: {told(found, part)}"] if part else []
    return judged(right), "; ".join(numbers)


def overall(found: Measured) -> Finding:
    every = list(found.evaluation.conditions)
    scores = {row: mean(found, row, every) for row in found.titles}
    known = {row: score for row, score in scores.items() if score is not None}
    if not CORE.keys() - ORACLE.keys() <= known.keys():
        return OPEN, ""
    order = sorted(known, key=lambda row: -known[row])
    best = {row: known[row] for row in [*order[:3], "nexus_dropout"]}
    return judged(order[0] == "nexus_dropout"), told(found, best)


def lies(found: Measured) -> Finding:
    # An agent of one sensor alone is not lied to by the others.
    rows = [r for r in found.titles if not found.plan.rows[r].perception.sensors]
    severe = [name for name in found.group("corruption") if name.endswith("_3")]
    numbers, survived = [], False
    for name in [*severe, *found.group("blackout")]:
        scores = {row: mean(found, row, [name]) for row in rows}
        known = {row: score for row, score in scores.items() if score is not None}
        if not known:
            return OPEN, ""
        best = max(known, key=lambda row: known[row])
        survived |= known[best] >= 0.9
        numbers.append(f"{name}: best {found.titles[best]} {known[best]:.2f}")
    return (judged(not survived) if numbers else OPEN), "; ".join(numbers)


HYPOTHESES: dict[str, Callable[[Measured], Finding]] = {
    "H1: with all sensors Nexus is within 10 % of raw agents": complete,
    "H2: with a sensor gone Nexus keeps 70 % or more, raw 30 % or less": lost,
    "H3: in its worst case of a missing sensor Nexus is above MVAE, MMVAE and Nexus "
    "without FPD and alignment (those that are compared here)": worst,
    "H4: raw trained under dropout is as good as Nexus on schedules like those of its "
    "training, and not better on others": schedules,
    "H4: Nexus trained under dropout is best over all conditions": overall,
    "H5: nobody who sees all sensors survives (score 0.9) blackouts or severe "
    "unannounced corruptions": lies,
}
