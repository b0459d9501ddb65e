"""The page about reliability, made from its JSON."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nexus_rl.files import write_atomic

COMMAND = "python scripts/reliability.py"
PARTS = {
    "pretraining": "simulating and pretraining",
    "ppo": "training an agent with PPO",
    "sac": "training an agent with SAC",
    "mhd": "building MHD",
    "model": "model",
    "agent": "agent",
    "run": "training run",
    "idx": "MNIST (IDX)",
    "rollouts": "rollouts",
    "sources": "sources of MHD",
}
KINDS = {"mhd": "MHD"}  # as a folder, not as work

Section = Mapping[str, Any]


def write_page(found: Mapping[str, Section], path: Path) -> None:
    """Writes what ``found`` tells, the content of the JSON, as Markdown."""
    sections = [SECTIONS[name](section) for name, section in found.items()]
    rows = [row for row, _ in sections]
    text = [
        "# Reliability",
        "",
        _wrapped(INTRODUCTION),
        "",
        *table(["what was done", "how often", "lost"], rows),
        "",
        *(line for _, lines in sections for line in [*lines, ""]),
        *_machine(found),
    ]
    write_atomic(path, ("\n".join(text) + "\n").encode())


INTRODUCTION = f"""\
Made by `{COMMAND}`, which anyone can run. "Lost" counts what is not as it should
be: a result that differs, work that had been saved and is gone, a file that is read
as if it were whole, an error that is not one clear sentence."""


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 88, break_on_hyphens=False)


def table(head: list[str], rows: list[list[Any]]) -> list[str]:
    """Lines of a table whose first column is text, the others numbers."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return ["| " + " | ".join(map(_shown, line)) + " |" for line in lines]


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _lost(section: Section) -> list[str]:
    """What was lost, as a list, if anything was."""
    lost = Counter(text for part in section["parts"].values() for text in part["lost"])
    items = [
        f"- {text}" + (f" ({n} times)" if n > 1 else "") for text, n in lost.items()
    ]
    return ["", "Lost:", "", *items] if items else []


def _count(section: Section) -> int:
    return sum(len(part["lost"]) for part in section["parts"].values())


def _kills(section: Section) -> tuple[list[Any], list[str]]:
    parts = section["parts"]
    rows = [
        [f"{PARTS[name]}: {stage}", count]
        for name, part in parts.items()
        for stage, count in sorted(part["stages"].items())
    ]
    kills = sum(part["kills"] for part in parts.values())
    runs = sum(part["runs"] for part in parts.values())
    text = f"""\
{runs} runs were killed with SIGKILL, each up to five times, at random moments or as
soon after as a file was being written, and then finished. What was saved before a
kill had to be there afterwards. In the end models, logs, rollouts and the arrays of
MHD had to be those of a run that was never interrupted, byte by byte; agents, whose
episodes begin anew, had to be complete, load and act. Where the kills fell:"""
    lines = ["## Kills", "", _wrapped(text), "", *table(["at work on", "kills"], rows)]
    return ["SIGKILL while training or building", kills, _count(section)], [
        *lines,
        *_lost(section),
    ]


def _noise(section: Section) -> tuple[list[Any], list[str]]:
    parts = section["parts"]
    counts: Counter[str] = Counter()
    for part in parts.values():
        counts.update(part["kinds"])
    names = ("nan", "inf", "-inf", "huge", "stale", "none")
    rows = [
        [title, *(counts[f"{where}: {name}"] for name in names)]
        for where, title in (("model", "calls of a model"), ("wrappers", "wrappers"))
    ]
    total = sum(part["observations"] for part in parts.values())
    text = f"""\
Observations with such readings behind their masks, random masks and dtypes, through
`encode`, `posterior` and `generate` of {", ".join(parts)}, and through
`NexusObservation`, `SensorDropout` and `VecNexusObservation` around them. Results
had to be those with zeros behind the masks, bit by bit."""
    head = ["observations", "NaN", "inf", "-inf", "largest", "stale", "None"]
    lines = ["## Noise behind masks", "", _wrapped(text), "", *table(head, rows)]
    return ["observations with noise behind their masks", total, _count(section)], [
        *lines,
        *_lost(section),
    ]


def _files(section: Section) -> tuple[list[Any], list[str]]:
    rows, done, lost = [], 0, 0
    for name, part in section["parts"].items():
        total: Counter[str] = Counter()
        for outcomes in part["files"].values():
            total.update(outcomes)
        refused, same = total["refused"], total["same"]
        numbers = [len(part["files"]), refused, same, total.total() - refused - same]
        rows.append([KINDS.get(name, PARTS[name]), *numbers])
        done += total.total()
        lost += numbers[-1]
    text = f"""\
Every file was cut short {section["asked"]["damage"]} times, and as often had one
bit flipped, and its folder was loaded. Either that was refused, by one error that
names a file, or the result was the same to the last bit (a file that is not read,
or a bit that says nothing)."""
    head = ["folder", "files", "refused", "the same", "lost"]
    lines = ["## Damaged files", "", _wrapped(text), "", *table(head, rows)]
    return ["damaged files", done, lost], [*lines, *_lost(section)]


def _hostile(section: Section) -> tuple[list[Any], list[str]]:
    cases = {
        case: found
        for part in section["parts"].values()
        for case, found in part["cases"].items()
    }
    rows = [
        [case.replace("mhd:", "MHD:"), found["outcome"], found["megabytes"]]
        for case, found in cases.items()
    ]
    slowest = max(found["seconds"] for found in cases.values())
    text = f"""\
Pickles that would leave a file behind, names that lead out of the folder, sizes
that no memory has, archives that unzip to gigabytes, and JSON that is nested too
deeply. All had to be refused by one clear error, without running code, within 5
seconds of a processor and 1 GB of memory. The slowest took {slowest:.1f} s."""
    head = ["forged", "outcome", "MB more"]
    lines = ["## Hostile files", "", _wrapped(text), "", *table(head, rows)]
    return ["hostile files", len(cases), _count(section)], [*lines, *_lost(section)]


SECTIONS: dict[str, Callable[[Section], tuple[list[Any], list[str]]]] = {
    "kills": _kills,
    "noise": _noise,
    "files": _files,
    "hostile": _hostile,
}


def _machine(found: Mapping[str, Section]) -> list[str]:
    """Where each section was measured; once where that is the same."""
    told: dict[str, list[str]] = {}
    for name, section in found.items():
        machine = section["machine"]
        versions = ", ".join(f"{k} {v}" for k, v in machine["versions"].items())
        text = (
            f"{machine['system']}, {machine['cores']} cores, Python "
            f"{machine['python']}, {versions}; seed {section['seed']}."
        )
        told.setdefault(text, []).append(name)
    one = len(told) == 1
    lines = [text if one else f"{', '.join(n)}: {text}" for text, n in told.items()]
    return [*lines, "", f"The page again: `{COMMAND} --from results/reliability.json`."]
