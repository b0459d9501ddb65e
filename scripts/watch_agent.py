"""Watch an agent act while its sensors fail.

    python scripts/watch_agent.py runs/agent
    python scripts/watch_agent.py runs/agent --drop image --gif out.gif
    python scripts/watch_agent.py runs/agent --gif out.gif \\
        --conditions everything no_image no_sound

In the window the keys 1, 2, ... switch the sensors off and on, space pauses, and
Escape quits. Several conditions are shown beside each other. The episodes are those
that evaluate_agent.py measures.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from nexus_rl import cli
from nexus_rl.errors import UserError, choose

if TYPE_CHECKING:
    from agents.panels import Sight
    from agents.watching import Switches, Watched


@dataclass(frozen=True)
class Args:
    """Which agent, what happens to its sensors, and where it is shown."""

    agent: tyro.conf.Positional[Path]
    """Folder of an agent."""
    conditions: Annotated[tuple[str, ...], tyro.conf.arg(aliases=("--condition",))] = ()
    """Conditions of evaluate_agent.py, such as everything no_image bernoulli_50."""
    drop: tuple[str, ...] = ()
    """Sensors that are missing all the time; instead of conditions."""
    env_kwargs: cli.EnvKwargs = field(default_factory=dict)
    """Changes to the arguments of the environment, such as split=test."""
    episodes: int = 1
    """Episodes in a GIF; a window goes on until it is closed."""
    seed: int = 0
    """Seed of the evaluation whose episodes are shown."""
    gif: Path | None = None
    """Write a GIF instead of opening a window."""
    overwrite: bool = False
    """Replace a GIF that is there."""
    steps: int | None = None
    """Stop after so many steps."""
    every: int = 1
    """Steps from one picture to the next; 2 halves the size of a GIF."""
    width: int = 280
    """Pixels of each panel."""
    device: str = "cpu"
    """Where networks and encoder run: auto, cpu, cuda or cuda:N."""
    threads: int = 1
    """CPU threads; 0: as many as there are cores."""


def main() -> None:
    args = tyro.cli(Args, description=__doc__)
    check(args)
    cli.use_threads(args.threads)
    from agents.bundle import load_agent
    from agents.perception import failing_sensors
    from agents.watching import Switches, Watched, with_switches

    agent = load_agent(args.agent, args.env_kwargs, args.device)
    conditions = conditions_for(args, agent.task)
    switches = Switches()
    if args.gif is None and failing_sensors(agent.task):
        conditions = [with_switches(each, switches) for each in conditions]
    watched: list[Watched] = []
    try:
        for condition in conditions:
            watched.append(Watched(agent, condition))
        if args.gif is not None:
            record(args, args.gif, watched)
        else:
            show(args, watched, switches)
    finally:
        for each in watched:
            each.close()


def check(args: Args) -> None:
    """Raises ``UserError`` for options that cannot be, before anything is loaded."""
    from nexus_rl.wrappers.checks import check_count

    least = {"episodes": 1, "seed": 0, "every": 1, "width": 100}
    for name, value in least.items():
        check_count(f"--{name}", getattr(args, name), value)
    if args.steps is not None:
        check_count("--steps", args.steps, 1)
    if args.conditions and args.drop:
        raise UserError("give --conditions or --drop, not both")
    if args.gif is not None and args.gif.suffix.lower() != ".gif":
        raise UserError(f"--gif writes GIFs only: name a file.gif, not {args.gif}")
    if args.gif is not None and args.gif.exists() and not args.overwrite:
        raise UserError(f"{args.gif} exists; replace it with --overwrite")


def conditions_for(args: Args, task: Any) -> list[Any]:
    """The conditions asked for, or that in which the sensors to drop are missing."""
    from agents.conditions import EVERYTHING, Condition
    from agents.evaluation import task_conditions
    from agents.perception import failing_sensors
    from nexus_rl.wrappers import Fixed

    if not args.drop:
        return list(task_conditions(task, args.conditions or EVERYTHING))
    sensors = failing_sensors(task)
    for name in args.drop:
        if name in task.reliable:
            raise UserError(
                f"--drop {name}: the agent takes it for reliable, it cannot be "
                f"missing; what may fail: {', '.join(sensors)}"
            )
        choose(name, dict.fromkeys(sensors), "sensor")
    left = tuple(name for name in sensors if name not in args.drop)
    name = f"without_{'_'.join(dict.fromkeys(args.drop))}"
    return [Condition(name, Fixed(left), min_available=min(len(left), 1))]


def together(watched: Sequence[Watched], args: Args) -> Iterator[list[Sight]]:
    """The steps of all, side by side; who is done first waits for the others."""
    for episode in itertools.count():
        last: list[Sight] = []
        each = (one.episode(args.seed, episode) for one in watched)
        for sights in itertools.zip_longest(*each):
            last = [new or old for new, old in itertools.zip_longest(sights, last)]
            yield last


def record(args: Args, path: Path, watched: Sequence[Watched]) -> None:
    """Write a GIF of some episodes."""
    from tqdm import tqdm

    from agents.panels import draw, write_gif

    def frames() -> Iterator[Any]:
        ended = steps = 0
        for sights in tqdm(together(watched, args), unit="step", disable=None):
            final = all(sight.ended for sight in sights)
            if steps % args.every == 0 or final:
                yield draw(sights, watched[0].boxes, args.width)
            steps += not final
            ended += final
            if ended == args.episodes or steps == args.steps:
                return

    count = write_gif(path, frames(), watched[0].fps / args.every)
    print(f"{path}: {count} pictures, {path.stat().st_size / 1e6:.1f} MB")


def show(args: Args, watched: Sequence[Watched], switches: Switches) -> None:
    """Open a window, until it is closed."""
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError:
        raise UserError("a window needs pygame: pip install pygame-ce") from None
    import numpy as np

    from agents.panels import draw
    from agents.perception import failing_sensors
    from envs.window import Window

    failing = failing_sensors(watched[0].agent.task)
    numbered = {str(k): name for k, name in enumerate(failing, 1)}
    keys = ", ".join(f"{key} {name}" for key, name in numbered.items())
    print(f"keys: {keys}; space pauses, Escape quits")
    window = Window(f"{watched[0].agent.name}: {keys}", round(watched[0].fps), 44100)
    silence = np.zeros((44100 // window.fps, 2))
    paused = False
    try:
        for sights in itertools.islice(together(watched, args), args.steps):
            picture = np.asarray(draw(sights, watched[0].boxes, args.width))
            shown = False
            while paused or not shown:
                window.show(picture, silence)
                shown = True
                for key in pressed():
                    if key == "quit":
                        return
                    if key == "space":
                        paused = not paused
                    elif key in numbered:
                        switches.toggle(numbered[key])
    except pygame.error as error:
        raise UserError(f"cannot show a window: {error}; write a --gif") from None
    finally:
        window.close()


def pressed() -> list[str]:
    """Names of the keys pressed; "quit" for Escape and a closed window."""
    import pygame

    if pygame.event.get(pygame.QUIT):
        return ["quit"]
    downs = pygame.event.get(pygame.KEYDOWN)
    # What else happened is of no use, and would fill the queue.
    pygame.event.clear()
    return [
        "quit" if event.key == pygame.K_ESCAPE else pygame.key.name(event.key)
        for event in downs
    ]


if __name__ == "__main__":
    cli.run(main)
