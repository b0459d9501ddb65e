"""Judge what encoders perceive by letting an agent of the true state see through them.

    python scripts/transfer_oracle.py runs/oracle --model runs/encoder
    python scripts/transfer_oracle.py runs/oracle --model nexus=runs/n0 nexus=runs/n1 \\
        mvae=runs/m0 --conditions missing blackout

No policy is trained on latents: the state is decoded from z_sigma by a probe that was
fitted with all sensors, and the agent acts on that while sensors fail. What is lost
of its return is lost by perception. Writes tables, plots and all episodes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro
from evaluate_agent import prepare, read_methods
from evaluate_encoder import load

from nexus_rl import cli
from nexus_rl.errors import UserError

if TYPE_CHECKING:
    from agents import Agent, Evaluation, Task
    from nexus_rl import MultimodalVAE
    from nexus_rl.probes import StateDecoder


@dataclass(frozen=True)
class Args:
    """Which agent and encoders, and what happens to the sensors."""

    oracle: tyro.conf.Positional[Path]
    """Folder of an agent that sees the true state (train_agent.py --sees state)."""
    model: tuple[str, ...]
    """Folders of encoders, as FOLDER or NAME=FOLDER; those of one name are averaged."""
    conditions: tuple[str, ...] = ("all",)
    """Names of conditions or groups of them: missing, bernoulli, bursts, windows,
    blackout, corruption, or all. The condition "everything" is always measured."""
    episodes: int = 50
    """Episodes a condition."""
    env_kwargs: cli.EnvKwargs = field(default_factory=dict)
    """Changes to the arguments of the environment where agents are measured, such as
    split=test; probes are fitted where the agent learned."""
    append: tuple[str, ...] = ()
    """Sensors that are seen beside the latent; the encoders need not know them."""
    absent: tuple[str, ...] = ()
    """Modalities of the encoders that the environment never shows."""
    rows: int = 20_000
    """Observations to simulate; probes are fitted on four fifths of them."""
    seed: int = 1000
    """Seeds the simulation and the probes; another than that of training."""
    out: Path = Path("runs/transfer")
    """Folder for the results."""
    overwrite: bool = False
    """Replace the results that are there."""
    n_envs: int = 10
    """Environments side by side; the results do not depend on it."""
    device: str = "cpu"
    """Where encoders run: auto, cpu, cuda or cuda:N."""
    threads: int = 1
    """CPU threads; 0: as many as there are cores."""


@dataclass(frozen=True)
class Transferred:
    """An agent of the true state that sees it through an encoder: a ``Player``."""

    name: str
    task: Task
    encoder: MultimodalVAE
    decode: StateDecoder
    agent: Agent

    def predict(
        self, observation: Any, state: Any = None, episode_start: Any = None
    ) -> Any:
        """What the agent does in the states that the latents (N, L) tell of."""
        import torch

        true = self.decode(torch.from_numpy(observation)).numpy()
        return self.agent.predict(true, state=state, episode_start=episode_start)


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    cli.use_threads(args.threads)
    methods = read_methods(args.model)
    from agents import report
    from agents.bundle import load_agent
    from agents.conditions import EVERYTHING
    from agents.evaluation import check_numbers, task_conditions

    check_numbers(args.episodes, (args.seed,), args.n_envs)
    oracle = replace(load_agent(args.oracle, args.env_kwargs), name="oracle")
    if oracle.task.perception.kind != "state":
        raise UserError(
            f"{args.oracle} sees {oracle.task.perception.kind}, not the true state; "
            "name an agent that train_agent.py --sees state has trained"
        )
    conditions = task_conditions(oracle.task, [*args.conditions, EVERYTHING])
    players = see_through(args, methods, oracle)
    prepare(args.out, args.overwrite)
    found = measure(args, players, oracle, conditions)
    files = report.write(found, args.out)
    print(report.page(found))
    print("\n".join(str(path) for path in files))


def see_through(
    args: Args, methods: list[tuple[str, Path]], oracle: Agent
) -> dict[str, list[Transferred]]:
    """The agent with the eyes of each encoder, by method."""
    from agents import Perception, Task
    from nexus_rl.data.rollouts import opened
    from nexus_rl.entries import without
    from nexus_rl.probes import StateDecoder, beside, latents, samples

    differ = {"append": args.append, "absent": args.absent}
    task = replace(oracle.task, perception=Perception(**differ))
    learned = Task.from_json(oracle.manifest["task"])
    ignore = learned.ignore
    with opened(learned.env, dict(learned.env_kwargs), ignore) as recorded:
        env = recorded.env
        shown = without(env, ignore)
        models = [load(folder, shown, args.device, **differ) for _, folder in methods]
        (readings, state), _ = samples(env, args.rows, args.seed, ignore)
    counts = Counter(name for name, _ in methods)
    players: dict[str, list[Transferred]] = {name: [] for name in counts}
    for (method, _), model in zip(methods, models, strict=True):
        several = players[method]
        name = f"{method}_{len(several) + 1}" if counts[method] > 1 else method
        given = [m.name for m in model.modalities if m.name not in args.absent]
        seen = beside(latents(model, readings, given), readings, args.append)
        decode = StateDecoder(seen, state.float(), seed=args.seed)
        several.append(Transferred(name, task, model, decode, oracle))
    return players


def measure(
    args: Args,
    players: dict[str, list[Transferred]],
    oracle: Agent,
    conditions: Sequence[Any],
) -> Evaluation:
    """Every player in every condition, beside random actions and the true state."""
    from agents import Evaluation, RandomAgent, evaluate_subsets
    from agents.conditions import EVERYTHING

    def play(player: Any, where: Any) -> Evaluation:
        options = {"n_envs": args.n_envs, "progress": True}
        return evaluate_subsets(player, where, args.episodes, **options)

    each = [player for several in players.values() for player in several]
    references = [oracle, RandomAgent(oracle.task)]
    parts = [play(player, EVERYTHING) for player in references]
    parts += [play(player, conditions) for player in each]
    methods = {m: tuple(p.name for p in several) for m, several in players.items()}
    return replace(
        Evaluation.join(parts),
        methods={**methods, "oracle": ("oracle",), "random": ("random",)},
        random="random",
        oracle="oracle",
    )


if __name__ == "__main__":
    cli.run(main)
