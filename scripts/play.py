"""Play an environment by hand, in a window with sound.

HyperHot: arrow keys move, space shoots. Pendulum: arrow keys push. Dial: arrow keys
turn; with --env-kwargs show_target=false you must read the sensors. Escape quits.
"""

from __future__ import annotations

import argparse
import difflib
import os
from typing import TYPE_CHECKING, Any

from nexus_rl import cli

if TYPE_CHECKING:
    import gymnasium as gym

ENVIRONMENTS = (
    "nexus_rl/HyperHot-v0",
    "nexus_rl/DigitDial-v0",
    "nexus_rl/MultimodalPendulum-v0",
    "nexus_rl/MultimodalPendulum4-v0",
    "nexus_rl/MultimodalPendulumPublished-v0",
)


def parse_arguments() -> argparse.Namespace:
    """The command line; an unknown environment ends the program with a suggestion."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = ", ".join(ENVIRONMENTS)
    parser.add_argument("--env", default=ENVIRONMENTS[0], help=f"one of {known}")
    parser.add_argument(
        "--env-kwargs",
        nargs="*",
        default=[],
        metavar="NAME=VALUE",
        help="arguments of the environment, such as enemies=2",
    )
    parser.add_argument("--seed", type=int, help="of the first episode (random)")
    parser.add_argument("--steps", type=int, help="stop after so many (never)")
    arguments = parser.parse_args()
    arguments.env = arguments.env.removeprefix("envs:")
    if arguments.env not in ENVIRONMENTS:
        close = difflib.get_close_matches(arguments.env, ENVIRONMENTS, 1, cutoff=0.3)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        parser.error(f"unknown environment {arguments.env!r}.{hint} Known: {known}")
    if arguments.seed is not None and arguments.seed < 0:
        parser.error(f"--seed must not be negative, got {arguments.seed}")
    if arguments.steps is not None and arguments.steps < 0:
        parser.error(f"--steps must not be negative, got {arguments.steps}")
    return arguments


def pressed_action(env: gym.Env[Any, Any]) -> Any:
    """The action of the keys that are held down."""
    import numpy as np
    import pygame

    keys = pygame.key.get_pressed()
    # Positive torque turns the pendulum to the left; HyperHot's 1 is left, its 2 right;
    # the dial's 0 is left, its 2 right.
    leftward = int(keys[pygame.K_LEFT]) - int(keys[pygame.K_RIGHT])
    name = env.spec.id if env.spec is not None else ""
    if "Pendulum" in name:
        return np.array([leftward], np.float32)
    if "Dial" in name:
        return 1 - leftward
    return leftward % 3 + 3 * int(keys[pygame.K_SPACE])


def wants_to_quit() -> bool:
    """Whether the window was closed or Escape pressed."""
    import pygame

    if pygame.event.get(pygame.QUIT):
        return True
    downs = pygame.event.get(pygame.KEYDOWN)
    # What else happened is of no use, and would fill the queue.
    pygame.event.clear()
    return any(event.key == pygame.K_ESCAPE for event in downs)


def play(env: gym.Env[Any, Any], seed: int | None, steps: int | None) -> None:
    """Play until the player quits or ``steps`` are over; print each episode's score."""
    import pygame

    env.reset(seed=seed)
    episode, score, done = 1, 0.0, 0
    while done != steps and not wants_to_quit():
        _, reward, terminated, truncated, _ = env.step(pressed_action(env))
        done += 1
        score += float(reward)
        pygame.display.set_caption(f"episode {episode}   score {score:.1f}")
        if terminated or truncated:
            print(f"episode {episode}: score {score:.1f}")
            env.reset()
            episode, score = episode + 1, 0.0
    print(f"stopped after {done} steps, score {score:.1f}")


def main() -> None:
    """Run the script."""
    arguments = parse_arguments()
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    try:
        import pygame
    except ImportError:
        raise SystemExit("playing needs pygame: pip install pygame-ce") from None
    from nexus_rl.environments import make_env

    kwargs = {**cli.read_kwargs(arguments.env_kwargs), "render_mode": "human"}
    env = make_env(arguments.env, kwargs, trains=False)
    try:
        play(env, arguments.seed, arguments.steps)
    except pygame.error as error:
        raise SystemExit(f"cannot show a window: {error}") from None
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        env.close()


if __name__ == "__main__":
    cli.run(main)
