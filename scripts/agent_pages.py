"""The page of an experiment with agents, made from the JSON of every run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from agent_claims import HYPOTHESES
from agent_figures import heat_map
from agent_rows import CORE, Experiment
from agent_scores import Measured, read_measured

from agents import plots, report
from agents.conditions import EVERYTHING
from agents.scores import Estimate, Scores
from nexus_rl.files import write_atomic

SHARE = 0.9  # of the oracle's score, which learning is timed to


def write_page(folder: Path, plan: Experiment) -> list[Path]:
    """Writes the page of the runs in ``folder`` beside it, and its plots."""
    found = read_measured(folder, plan)
    core = Scores(found.only([row for row in CORE if row in found.titles]))
    pictures = {
        "scores": heat_map(found, columns(found)),
        "returns": plots.returns(core),
        "drop_rates": plots.drop_rates(core),
    }
    paths = []
    for name, content in pictures.items():
        if content is not None:
            paths.append(folder.with_name(f"{folder.name}_{name}.png"))
            write_atomic(paths[-1], content)
    page = folder.with_suffix(".md")
    write_atomic(page, text(found, paths).encode())
    return [page, *paths]


def text(found: Measured, pictures: Sequence[Path]) -> str:
    """The whole page."""
    evaluation = found.evaluation
    parts = [
        f"# Agents on {evaluation.env}",
        f"""Every agent is trained with PPO, or what its name says, from the seeds \
0, 1, ...; seed k sees through the encoder of seed k. {data_text(found)} \
All models have the settings that were found for Nexus, and Nexus has an alignment \
term, which the paper's has not, unless its row says so. \
{evaluation.episodes} episodes a condition, the same for every agent, actions without \
noise. The policy is that of the last step, none is selected. Scores are 0 for random \
actions ({found.random:.0f}) and 1 for the agent that sees the true state \
({found.oracle:.0f}), which learned like the others and is no upper bound; means over \
training seeds, with bootstrap 95 % intervals: of two or three seeds their whole \
range. "corruption" is unannounced. In a blackout agents that see latents keep the \
last one. Encoders leave out what is missing. Agents that \
also see a mask of the available sensors: {masked(found)}.""",
        "## Scores by the way sensors fail",
        group_table(found),
        "## Hypotheses",
        "Of two rows one is above the other where their means differ by more than two "
        "standard errors over training seeds; otherwise, and of one seed, it is "
        "too close to tell. Shares and scores of 0.9 are compared by their means.",
        hypothesis_table(found),
        "## Learning",
        f"""Steps and seconds of training alone, one thread; until the mean of 10 \
episodes with all sensors first scores {SHARE:g} twice in a row, looked at when a \
rollout ends about every 10,000 steps, on what the agent learns from; told where every \
seed gets there. Other work shared the machine, so seconds \
are at the pace of the fastest seed and may still be too many; [speeds measured in \
turns](benchmark_learning.md) compare. \
Training the encoder is not in them: that is done \
once, for any number of agents.""",
        learning_table(found),
        *(f"![{path.stem}]({path.name})" for path in pictures),
        "".join(
            report.page(evaluation).partition("## Over all conditions")[1:]
        ).strip(),
    ]
    return "\n\n".join(parts) + "\n"


def masked(found: Measured) -> str:
    """Who is told which sensors are there."""
    rows = found.plan.rows
    return "; ".join(t for row, t in found.titles.items() if rows[row].perception.mask)


def data_text(found: Measured) -> str:
    """What encoders learned from, and what is shown where agents are measured."""
    kwargs = found.evaluation.env_kwargs
    if "data" not in kwargs:
        return (
            f"Frozen encoders saw {found.plan.encoder_rows:,} simulated observations, "
            "which steps do not count: of random actions, and half of them of drawn "
            "states where the environment draws some. They saw neither rewards nor "
            "labels."
        )
    return (
        f"Frozen encoders saw the training split of {kwargs['data']} and no rewards. "
        "They learned to tell its labels, which agents of raw sensors never see, but "
        "where a row says otherwise. Agents learn on that split, and are measured on "
        f"the split {kwargs['split']!r}: other recordings, and other variations of the "
        "handwriting. With MHD's usual split these are variations of handwritten "
        "digits, and recordings of speakers, of which there are others in training. "
        f"All agents see {' and '.join(found.plan.reliable)}, too, which never fails."
    )


def columns(found: Measured) -> dict[str, list[str]]:
    """The conditions of each column: those of a group, or one missing sensor."""
    heads: dict[str, list[str]] = {}
    for group in dict.fromkeys(found.evaluation.conditions.values()):
        names = found.group(group)
        single = group == "missing" and len(names) <= 2
        heads |= {name: [name] for name in names} if single else {group: names}
    return heads


def group_table(found: Measured) -> str:
    """A row an agent: the mean score over the conditions of each group."""
    heads = columns(found)
    lines = [
        f"| agent | seeds | {' | '.join(heads)} |",
        "| --- | ---: |" + " ---: |" * len(heads),
    ]
    for row, title in found.titles.items():
        cells = [shown(found.score(row, names)) for names in heads.values()]
        seeds = len(found.evaluation.methods[row])
        lines.append(f"| {title} | {seeds} | {' | '.join(cells)} |")
    return "\n".join(lines)


def hypothesis_table(found: Measured) -> str:
    """What was expected beforehand, and what came."""
    lines = ["| expected | here | numbers |", "| --- | --- | --- |"]
    for claim, test in HYPOTHESES.items():
        lines.append(f"| {claim} | {' | '.join(test(found))} |")
    return "\n".join(lines)


def learning_table(found: Measured) -> str:
    """What training took, and how long it took to learn, at the fastest seed's pace."""
    lines = [
        "| agent | steps | seconds | steps/s | steps to it | seconds | got there |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row, title in found.titles.items():
        runs = [run for run in found.runs[row] if not run["like"]]
        if not runs:
            continue
        steps = fmean(run["steps"] for run in runs)
        pace = max(run["steps"] / run["seconds"] for run in runs)
        reached = [
            point["steps"]
            for run in runs
            if (point := first(run["progress"], found)) is not None
        ]
        everyone = len(reached) == len(runs)
        there = [fmean(reached), fmean(reached) / pace] if everyone else []
        cells = [f"{value:,.0f}" for value in there] or ["–", "–"]
        lines.append(
            f"| {title} | {steps:,.0f} | {steps / pace:.0f} | {pace:,.0f} | "
            f"{' | '.join(cells)} | {len(reached)} of {len(runs)} |"
        )
    return "\n".join(lines)


def first(
    progress: Sequence[Mapping[str, Any]], found: Measured
) -> Mapping[str, Any] | None:
    """The first evaluation with all sensors at the share of the oracle that lasts.

    So does the next: a few episodes may be lucky once.
    """
    points = [point for point in progress if point["condition"] == EVERYTHING]
    there = [found.normalised(point["return"]) >= SHARE for point in points]
    for point, *both in zip(points, there, there[1:], strict=False):
        if all(both):
            return point
    return None


def shown(value: Estimate | None) -> str:
    return report.show(value, ".2f")
