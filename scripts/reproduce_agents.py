"""Train and measure agents that see in different ways, while their sensors fail.

    python scripts/reproduce_agents.py pendulum
    python scripts/reproduce_agents.py pendulum --rows oracle raw nexus --seeds 3
    python scripts/reproduce_agents.py hyperhot --jobs 2

Encoders, agents and evaluations: every agent and seed leaves a JSON in
results/agents_EXPERIMENT/; one whose JSON is there is not made again, and what was
interrupted goes on. The page is made from all JSONs there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from filecmp import cmp
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import tyro
from agent_rows import EXPERIMENTS, Experiment
from paper_jobs import Job, run_jobs

from nexus_rl import cli
from nexus_rl.errors import UserError, choose
from nexus_rl.files import read_json, write_json

if TYPE_CHECKING:
    from agents.config import AgentConfig


@dataclass(frozen=True)
class Args:
    """What to measure."""

    experiment: tyro.conf.Positional[str]
    """pendulum, pendulum4, hyperhot or digitdial."""
    rows: tuple[str, ...] = ()
    """Agents by name, such as oracle raw nexus; all if not given."""
    seeds: int = 0
    """Training seeds of each agent, 0, 1, ...; 0: as many as the experiment says."""
    episodes: int = 50
    """Episodes a condition."""
    jobs: int = 1
    """Runs at a time, with one thread each."""
    runs: Path = Path("runs/agents")
    """Where encoders and agents are kept."""
    out: Path = Path("results")
    """Where results are written."""

    @property
    def plan(self) -> Experiment:
        return choose(self.experiment, EXPERIMENTS, "experiment")

    @property
    def folder(self) -> Path:
        """Where encoders and agents of this experiment are kept."""
        return self.runs / self.experiment

    @property
    def results(self) -> Path:
        return self.out / f"agents_{self.experiment}"


class AgentRun(NamedTuple):
    """One agent with one training seed."""

    row: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.row}_seed{self.seed}"


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    for name, least in (("seeds", 0), ("episodes", 1), ("jobs", 1)):
        if getattr(args, name) < least:
            raise UserError(
                f"{name} must be at least {least}, got {getattr(args, name)}"
            )
    plan = args.plan
    for row in args.rows:
        choose(row, plan.rows, "agent")
    check_episodes(args)
    runs = [
        AgentRun(name, seed)
        for name, row in plan.rows.items()
        if name in args.rows or not args.rows
        for seed in range(args.seeds or row.seeds)
    ]
    waiting = [run for run in runs if not result_of(run, args).exists()]
    jobs = [*random_job(args), *jobs_of(waiting, plan)]
    if jobs:
        run_jobs(jobs, args, args.jobs, "runs")
    from agent_pages import write_page  # here: matplotlib takes a while

    for path in write_page(args.results, plan):
        print(path)


def check_episodes(args: Args) -> None:
    """Raises ``UserError`` if runs that are there would not compare with new ones."""
    for path in sorted(args.results.glob("*.json")):
        episodes = read_json(path, "run", episodes=int)["episodes"]
        if episodes != args.episodes:
            raise UserError(
                f"{path} has {episodes} episodes a condition, not {args.episodes}: ask "
                f"for --episodes {episodes}, or choose another folder with --out"
            )


def jobs_of(runs: Sequence[AgentRun], plan: Experiment) -> list[Job]:
    """Encoders first, each followed by the agents that see through it."""
    through: dict[tuple[str, int], list[Job]] = {}
    alone: dict[AgentRun, list[Job]] = {}
    for run in runs:
        row = plan.rows[run.row]
        if row.encoder:
            through.setdefault((row.encoder, run.seed), []).append(Job(make_agent, run))
        elif row.like:
            # Trained by the other row, and measured once more.
            alone.setdefault(AgentRun(row.like, run.seed), []).append(
                Job(make_agent, run)
            )
        else:
            alone.setdefault(run, [])
    seeds: dict[int, list[Job]] = {}
    for (name, seed), then in through.items():
        job = Job(make_encoder, (name, seed), tuple(then))
        seeds.setdefault(seed, []).append(job)
    return [
        *(Job(make_bottoms, seed, tuple(then)) for seed, then in seeds.items()),
        *(Job(make_agent, run, tuple(then)) for run, then in alone.items()),
    ]


def random_job(args: Args) -> list[Job]:
    """Random actions, which scores of 0 belong to."""
    path = args.results / "random.json"
    return [] if path.exists() else [Job(make_random, path)]


def result_of(run: AgentRun, args: Args) -> Path:
    return args.results / f"{run.name}.json"


def make_bottoms(seed: int, args: Args) -> None:
    """Data and bottom level of one seed, which its encoders share."""
    from agent_encoders import train_bottoms

    cli.use_threads(1)
    train_bottoms(args.plan, seed, args.folder, args.jobs == 1)


def make_encoder(item: tuple[str, int], args: Args) -> None:
    """Trains one encoder as far as it is not."""
    from agent_encoders import train_encoder

    cli.use_threads(1)
    train_encoder(args.plan, *item, args.folder, args.jobs == 1)


def make_agent(run: AgentRun, args: Args) -> None:
    """Trains one agent as far as it is not, measures it, and writes its JSON."""
    from agents.bundle import load_agent
    from agents.callbacks import read_lines
    from agents.evaluation import evaluate_subsets

    if result_of(run, args).exists():
        return  # it was measured before, and others wait for it
    cli.use_threads(1)
    plan, show = args.plan, args.jobs == 1
    row = plan.rows[run.row]
    trained = AgentRun(row.like or run.row, run.seed)
    folder = args.folder / "agents" / trained.name
    train(trained, folder, args)
    agent = replace(load_agent(folder, plan.test_kwargs), name=run.name)
    encoder = encoder_of(trained, args)
    if row.like:
        agent = replace(agent, task=replace(agent.task, perception=row.perception))
    conditions = "everything" if row.perception.kind == "state" else "all"
    found = evaluate_subsets(agent, conditions, args.episodes, n_envs=25, progress=show)
    manifest = agent.manifest
    told = ("algo", "seed", "sensor_dropout", "steps", "seconds", "hyperparameters")
    write_json(
        result_of(run, args),
        {
            "row": run.row,
            "title": row.title,
            "encoder": row.encoder,
            "like": row.like,
            "perception": agent.task.to_json()["perception"] | {"encoder": None},
            "encoder_training": read_json(encoder / "run.json", "run")
            if encoder is not None
            else None,
            "versions": manifest["versions"],
            **{name: manifest[name] for name in told},
            "progress": read_lines(folder / "training" / "evaluations.jsonl"),
            **compact(found),
        },
    )


def train(run: AgentRun, folder: Path, args: Args) -> None:
    """Trains an agent in ``folder`` unless that is finished; goes on with a begun one.

    Raises ``KeyboardInterrupt`` when it was interrupted and saved, and ``UserError`` if
    ``folder`` has an agent that was trained otherwise.
    """
    from agents.bundle import read_manifest
    from agents.training import finished, resume_agent, train_agent

    encoder = encoder_of(run, args)
    seen = str(encoder) if encoder is not None else None
    config, show = args.plan.config(run.row, run.seed, seen), args.jobs == 1
    if not (folder / "agent.json").exists():  # nothing to go on from
        done = train_agent(config, folder, overwrite=True, progress=show)
    else:
        check_same(read_manifest(folder), config, folder)
        if finished(folder, config):
            return
        done = resume_agent(folder, progress=show)
    if done.interrupted:
        raise KeyboardInterrupt


def encoder_of(run: AgentRun, args: Args) -> Path | None:
    """The folder of the encoder that ``run`` sees through, if any."""
    from agent_encoders import encoder_folder

    name = args.plan.rows[run.row].encoder
    return encoder_folder(args.folder, name, run.seed) if name else None


def check_same(manifest: Mapping[str, Any], config: AgentConfig, folder: Path) -> None:
    """Raises ``UserError`` unless the agent in ``folder`` is that of ``config``."""
    from agents.perception import Task

    seen, inside = config.task.perception.encoder, Task.from_json(manifest["task"])
    perception = replace(inside.perception, encoder=seen)
    then = {**manifest, "task": replace(inside, perception=perception)}
    for name in ("task", "algo", "seed", "sensor_dropout", "hyperparameters"):
        if then[name] != getattr(config, name):
            raise UserError(
                f"the agent in {folder} was trained otherwise, its {name} was "
                f"{manifest[name]!r}: delete it, or choose other --runs"
            )
    weights = "model.safetensors"
    mine = folder / (inside.perception.encoder or "") / weights
    if seen and not cmp(Path(seen, weights), mine, shallow=False):
        raise UserError(
            f"the agent in {folder} was trained on another encoder than the one in "
            f"{seen}: delete it, or choose other --runs"
        )


def make_random(path: Path, args: Args) -> None:
    """Measures random actions."""
    from agents.evaluation import RandomAgent, evaluate_subsets
    from agents.perception import Perception

    task = args.plan.task(Perception())
    kwargs = {**task.env_kwargs, **args.plan.test_kwargs}
    player = RandomAgent(replace(task, env_kwargs=kwargs))
    found = evaluate_subsets(player, "everything", args.episodes)
    write_json(path, {"row": "random", "title": "random actions", **compact(found)})


def compact(evaluation: Any) -> Mapping[str, Any]:
    """The episodes by condition; ``agent_scores.expand`` makes rows of them again."""
    conditions: dict[str, dict[str, Any]] = {}
    for row in evaluation.rows:
        known = conditions.setdefault(
            row["condition"],
            {"group": row["group"], "return": [], "length": [], "available": []},
        )
        known["return"].append(round(row["return"], 2))
        known["length"].append(row["length"])
        known["available"].append(
            {name: round(share, 3) for name, share in row["available"].items()}
        )
    for known in conditions.values():
        if all(each == known["available"][0] for each in known["available"]):
            known["available"] = known["available"][:1]
    return {
        "env": evaluation.env,
        "env_kwargs": evaluation.env_kwargs,
        "episodes": evaluation.episodes,
        "conditions": conditions,
    }


if __name__ == "__main__":
    cli.run(main)
