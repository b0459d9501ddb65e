"""What was expected of agents whose sensors fail, and whether it came true."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial
from statistics import fmean, variance

from agent_rows import PRINCIPAL
from agent_scores import Measured

from agents.conditions import EVERYTHING
from agents.scores import retained

YES, NO, CLOSE, OPEN = "confirmed", "not confirmed", "too close", "open"
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


def above(first: Sequence[float], second: Sequence[float]) -> str:
    """Whether the first has the higher mean, one value a training seed each.

    Too close within two standard errors of the difference, or with one seed of either.
    """
    if min(len(first), len(second)) < 2:
        return CLOSE
    difference = fmean(first) - fmean(second)
    variances = [variance(each) / len(each) for each in (first, second)]
    if abs(difference) <= 2 * math.sqrt(sum(variances)):
        return CLOSE
    return judged(difference > 0)


def all_of(verdicts: Collection[str]) -> str:
    """The verdict on a claim that has several parts."""
    if not verdicts:
        return OPEN
    return next((each for each in (NO, CLOSE) if each in verdicts), YES)


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
        if not name.startswith("no_"):
            continue  # more than one sensor is gone
        part = scores_of(found, rows, [name])
        if whole is None or part is None:
            return OPEN, ""
        shares = {row: retained(part[row], whole[row], 0.0) for row in rows}
        kept = {row: share for row, share in shares.items() if share is not None}
        if len(kept) < len(rows):
            return OPEN, f"no better than random with all sensors: {told(found, whole)}"
        verdicts.append(judged(kept["nexus"] >= 0.7 and kept["raw"] <= 0.3))
        numbers.append(f"{name}: {told(found, kept)}")
    return all_of(verdicts), "; ".join(numbers)


def worst(found: Measured, mine: str = "nexus") -> Finding:
    compared = (mine, "mvae", "mmvae", "nexus_plain")
    rows = [row for row in compared if row in found.plan.rows]
    if len(rows) < 2 or mine not in rows:
        return OPEN, ""
    lowest: dict[str, list[float]] = {}
    for row in rows:
        each = [found.values(row, [name]) for name in found.group("missing")]
        if not each or not all(each):
            return OPEN, ""
        lowest[row] = min(each, key=fmean)
    verdict = all_of([above(lowest[mine], lowest[row]) for row in rows[1:]])
    return verdict, told(found, {row: fmean(known) for row, known in lowest.items()})


def mean_of_groups(found: Measured, row: str, groups: Sequence[str]) -> list[float]:
    """One value a training seed: groups count alike, whatever conditions they have."""
    each = [found.values(row, found.group(group)) for group in groups]
    return [fmean(values) for values in zip(*each, strict=True)] if all(each) else []


def schedules(found: Measured) -> Finding:
    rows = ("nexus", "raw_dropout", "raw_dropout_long")
    longest = rows[2] if rows[2] in found.titles else rows[1]
    scores = {
        what: {row: mean_of_groups(found, row, groups) for row in rows}
        for what, groups in {"seen": SEEN, "others": UNSEEN}.items()
    }
    numbers = []
    for what, known in scores.items():
        if not (known["nexus"] and known[longest]):
            return OPEN, ""
        means = {row: fmean(values) for row, values in known.items() if values}
        numbers.append(f"{what}: {told(found, means)}")
    for group in UNSEEN:
        part = scores_of(found, ("nexus", longest), found.group(group))
        numbers += [f"{group} alone: {told(found, part)}"] if part else []
    seen, others = scores["seen"], scores["others"]
    alike = abs(fmean(seen["nexus"]) - fmean(seen[longest])) <= 0.1
    verdicts = [judged(alike), above(others["nexus"], others[longest])]
    return all_of(verdicts), "; ".join(numbers)


def overall(found: Measured) -> Finding:
    groups = list(dict.fromkeys(found.evaluation.conditions.values()))
    scores = {row: mean_of_groups(found, row, groups) for row in found.titles}
    known = {row: values for row, values in scores.items() if values}
    if not PRINCIPAL.keys() <= known.keys():
        return OPEN, ""
    order = sorted(known, key=lambda row: -fmean(known[row]))
    mine = "nexus_dropout"
    best = {row: fmean(known[row]) for row in [*order[:3], mine]}
    verdicts = [above(known[mine], known[row]) for row in order if row != mine]
    return all_of(verdicts), told(found, best)


def blackouts(found: Measured) -> Finding:
    # Latents and held readings are memory.
    sights = {row: found.plan.rows[row].perception for row in found.titles}
    rows = [
        r for r, seen in sights.items() if (seen.kind, seen.fill) == ("raw", "zero")
    ]
    verdict, numbers = survivors(found, found.group("blackout"), rows)
    _, holding = survivors(found, found.group("blackout"), found.titles)
    return verdict, f"{numbers}; with memory: {holding}" if numbers else ""


def lies(found: Measured) -> Finding:
    # Nobody lies to an agent of the state, nor other sensors to one of a sensor alone.
    sights = {row: found.plan.rows[row].perception for row in found.titles}
    rows = [
        r for r, seen in sights.items() if seen.kind != "state" and not seen.sensors
    ]
    severe = [
        name
        for name in found.group("corruption")
        if name.startswith(("freeze", "lie")) and name.endswith("_3")
    ]
    return survivors(found, severe, rows)


def survivors(
    found: Measured, conditions: Sequence[str], rows: Collection[str]
) -> Finding:
    """Confirmed where none of ``rows`` has a mean score of 0.9 in any condition.

    Open where none has it with everything either.
    """
    numbers, verdicts = [], []
    whole = [mean(found, row, [EVERYTHING]) for row in rows]
    if not any(score is not None and score >= 0.9 for score in whole):
        return OPEN, ""
    for name in conditions:
        scores = {row: mean(found, row, [name]) for row in rows}
        known = {row: score for row, score in scores.items() if score is not None}
        if not known:
            return OPEN, ""
        best = max(known, key=lambda row: known[row])
        verdicts.append(judged(known[best] < 0.9))
        numbers.append(f"{name}: best {found.titles[best]} {known[best]:.2f}")
    return all_of(verdicts), "; ".join(numbers)


HYPOTHESES: dict[str, Callable[[Measured], Finding]] = {
    "H1: with all sensors Nexus is within 10 % of raw agents": complete,
    "H2: with one sensor gone Nexus keeps 70 % or more, raw 30 % or less": lost,
    "H3: in its worst case of a missing sensor Nexus is above MVAE, MMVAE and Nexus "
    "without FPD and alignment (those that are compared here)": worst,
    "H3, of the paper's Nexus, which has no alignment": partial(
        worst, mine="nexus_fpd"
    ),
    "H4: raw trained under dropout, for as long as was tried, is as good as Nexus on "
    "schedules like those of its training, and worse on others": schedules,
    "H4: Nexus trained under dropout is best over all groups of conditions": overall,
    "H5: nobody without memory survives blackouts (score 0.9)": blackouts,
    "H5: nobody who sees all sensors survives severe lies, frozen or of another "
    "moment, of which nobody tells (score 0.9)": lies,
}
