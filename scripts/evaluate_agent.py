"""Measure agents for every way their sensors can fail.

    python scripts/evaluate_agent.py runs/agent
    python scripts/evaluate_agent.py runs/a runs/b --random --oracle runs/state \\
        --conditions missing bernoulli
    python scripts/evaluate_agent.py nexus=runs/n0 nexus=runs/n1 raw=runs/raw

Folders with one NAME are one agent trained from several seeds: the table has the mean
over them, and its interval. Writes a table, plots and all episodes. After an
interruption the same command goes on with the conditions that are left.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import tyro

from nexus_rl import cli
from nexus_rl.errors import UserError
from nexus_rl.files import read_json, write_json


@dataclass(frozen=True)
class Args:
    """Which agents, and what happens to their sensors."""

    agents: tyro.conf.Positional[tuple[str, ...]]
    """Folders of agents, as FOLDER or NAME=FOLDER."""
    conditions: tuple[str, ...] = ("all",)
    """Names of conditions or groups of them: missing, bernoulli, bursts, windows,
    blackout, corruption, or all. The condition "everything" is always measured."""
    episodes: int = 50
    """Episodes a condition and seed."""
    seeds: tuple[int, ...] = (0,)
    """Seeds of the evaluation; each has episodes of its own."""
    env_kwargs: cli.EnvKwargs = field(default_factory=dict)
    """Changes to the arguments of the environment, such as split=test."""
    random: bool = False
    """Measure random actions too: what is left of a score is told against them."""
    oracle: tuple[Path, ...] = ()
    """Folders of agents that see the true state: theirs is a score of 1."""
    out: Path | None = None
    """Folder for the results; evaluation in the first agent's if not given."""
    overwrite: bool = False
    """Replace the results that are there."""
    n_envs: int = 10
    """Environments side by side; the results do not depend on it."""
    device: str = "cpu"
    """Where networks and encoders run: auto, cpu, cuda or cuda:N."""
    threads: int = 1
    """CPU threads; 0: as many as there are cores."""


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    methods = read_methods(args.agents)
    from agents.evaluation import check_numbers

    check_numbers(args.episodes, args.seeds, args.n_envs)
    folder = args.out or methods[0][1] / "evaluation"
    players, names = load(args, methods)
    references = {*names.get("oracle", ()), *names.get("random", ())}
    conditions = conditions_for(args, players, references)
    prepare(folder, args.overwrite)
    found = replace(
        measure(args, players, conditions, folder / "parts"),
        methods={name: tuple(each) for name, each in names.items()},
        random="random" if args.random else None,
        oracle="oracle" if args.oracle else None,
    )
    from agents import report

    files = report.write(found, folder)
    shutil.rmtree(folder / "parts")
    print(report.page(found))
    print("\n".join(str(path) for path in files))


def read_methods(texts: Sequence[str]) -> list[tuple[str, Path]]:
    """The name and folder of each agent."""
    found, unnamed = [], []
    for text in texts:
        name, equals, folder = text.partition("=")
        # A folder's own name may hold "=".
        if not equals or "/" in name or Path(text).exists():
            name, folder = Path(text).resolve().name, text
            unnamed.append(name)
        if not name or name.startswith(".") or name in ("random", "oracle"):
            raise UserError(f"an agent cannot be called {name!r} in {text!r}")
        found.append((name, Path(folder)))
    if not found:
        raise UserError("no agents or models: name folders, FOLDER or NAME=FOLDER")
    counts = Counter(name for name, _ in found)
    for name in unnamed:
        if counts[name] > 1:
            raise UserError(
                f"{counts[name]} agents are called {name!r}; name them apart, "
                "NAME=FOLDER, or all by one name if they differ by the seed of their "
                "training only"
            )
    return found


def load(
    args: Args, methods: Sequence[tuple[str, Path]]
) -> tuple[list[Any], dict[str, list[str]]]:
    """All agents, and the names of those of each method."""
    from agents.bundle import load_agent

    cli.use_threads(args.threads)
    every = [*methods, *(("oracle", folder) for folder in args.oracle)]
    folders = Counter(folder.resolve() for _, folder in every)
    for folder, count in folders.items():
        if count > 1:
            raise UserError(f"agent {folder} is given {count} times")
    counts = Counter(name for name, _ in every)
    names: dict[str, list[str]] = {}
    players: list[Any] = []
    for method, folder in every:
        several = names.setdefault(method, [])
        name = f"{method}_{len(several) + 1}" if counts[method] > 1 else method
        several.append(name)
        players.append(
            replace(load_agent(folder, args.env_kwargs, args.device), name=name)
        )
    if len({player.name for player in players}) < len(players):
        raise UserError(f"agents need other names: {', '.join(names)}")
    check_same_environment(players)
    known = {player.name: player for player in players}
    for method, agents in names.items():
        check_method(method, [known[agent] for agent in agents])
    if args.random:
        from agents.evaluation import RandomAgent

        players.append(RandomAgent(players[0].task))
        names["random"] = ["random"]
    return players, names


def check_same_environment(players: Sequence[Any]) -> None:
    """Raises ``UserError`` if agents act where other things happen."""

    def told(task: Any) -> str:
        named = [f"reliable={name}" for name in sorted(task.reliable)]
        named += [f"ignore={name}" for name in sorted(task.ignore)]
        kwargs = sorted(cli.show_kwargs(task.env_kwargs))
        return " ".join([task.env, *kwargs, *named])

    first = players[0]
    for player in players:
        if told(player.task) != told(first.task):
            raise UserError(
                "agents of different environments do not compare: "
                f"{told(first.task)} is that of {first.name}, "
                f"{told(player.task)} that of {player.name}"
            )


def check_method(method: str, agents: Sequence[Any]) -> None:
    """Raises ``UserError`` for agents of one name that differ by more than their seed.

    And for an oracle that does not see the true state.
    """
    for agent in agents:
        kind = agent.task.perception.kind
        if method == "oracle" and kind != "state":
            raise UserError(
                f"an oracle sees the true state, but that of --oracle sees {kind}; "
                "name one that train_agent.py --sees state has trained"
            )

    from nexus_rl.models.files import describe

    def settings(agent: Any) -> dict[str, Any]:
        names = ("algo", "hyperparameters", "sensor_dropout", "steps")
        return {
            **{name: agent.manifest.get(name) for name in names},
            "sight": replace(agent.task.perception, encoder=None),
            "encoder": agent.encoder and describe(agent.encoder),
        }

    first = settings(agents[0])
    for name, value in first.items():
        if any(settings(agent)[name] != value for agent in agents):
            raise UserError(
                f"agents called {method!r} differ by more than their seed, in their "
                f"{name}: name them apart"
            )
    if len({agent.manifest["seed"] for agent in agents}) < len(agents):
        raise UserError(
            f"agents called {method!r} were trained from one seed, so they are no "
            "sample of seeds: name them apart"
        )


def conditions_for(
    args: Args, players: Sequence[Any], references: set[str]
) -> dict[str, list[Any]]:
    """The conditions to measure of each agent, by name.

    Of ``references`` one is enough: neither random actions nor oracles see sensors.
    """
    from agents.conditions import EVERYTHING
    from agents.evaluation import task_conditions

    chosen = task_conditions(players[0].task, [*args.conditions, EVERYTHING])
    whole = [condition for condition in chosen if condition.name == EVERYTHING]
    return {
        player.name: whole if player.name in references else list(chosen)
        for player in players
    }


def prepare(folder: Path, overwrite: bool) -> None:
    """Raises ``UserError`` if results are there that may not be replaced."""
    done = folder / "evaluation.json"
    if not done.exists():
        return
    if not overwrite:
        raise UserError(
            f"{done} exists; replace it with --overwrite or choose another folder "
            "with --out"
        )
    done.unlink()


def measure(
    args: Args,
    players: Sequence[Any],
    conditions: dict[str, list[Any]],
    folder: Path,
) -> Any:
    """The evaluation of all agents; parts that are in ``folder`` are taken from it."""
    from tqdm import tqdm

    from agents.results import Evaluation

    parts = []
    total = sum(map(len, conditions.values()))
    with tqdm(total=total, unit="condition", disable=None) as bar:
        for player in players:
            for condition in conditions[player.name]:
                bar.set_description(f"{player.name}, {condition.name}")
                path = folder / player.name / f"{condition.name}.json"
                parts.append(part(args, player, condition, path))
                bar.update()
    return Evaluation.join(parts)


def part(args: Args, player: Any, condition: Any, path: Path) -> Any:
    """One agent in one condition, measured or read from ``path``."""
    from agents.evaluation import evaluate_subsets
    from agents.results import Evaluation

    manifest = getattr(player, "manifest", {})
    of = {
        "files": manifest.get("files", "none"),
        "env": player.task.env,
        "env_kwargs": dict(player.task.env_kwargs),
        "episodes": args.episodes,
        "seeds": list(args.seeds),
        "condition": repr(condition),
    }
    if path.exists():
        known = read_json(path, "part of an evaluation", of=dict, evaluation=str)
        if known["of"] == of:
            try:
                return Evaluation.from_json(known["evaluation"])
            except UserError as error:
                raise UserError(f"{path}: {error}") from None
        if not args.overwrite:
            raise UserError(
                f"{path} is of an unfinished evaluation of other agents or with other "
                "options; finish that, or replace it with --overwrite"
            )
    found = evaluate_subsets(
        player, [condition], args.episodes, args.seeds, n_envs=args.n_envs
    )
    write_json(path, {"of": of, "evaluation": found.to_json()})
    return found


if __name__ == "__main__":
    cli.run(main)
