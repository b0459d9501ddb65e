"""Returns of an agent in every condition, over the same episodes for each agent."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from agents.acting import Actor, PolicyPlayer
from agents.conditions import Condition, choose_conditions, conditions_of
from agents.perception import Perception, Task, make_task_env, make_vec_env
from agents.results import Evaluation, Row
from nexus_rl.environments import time_limit
from nexus_rl.errors import UserError
from nexus_rl.mask import MASK, sensors_of
from nexus_rl.wrappers.checks import check_count

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv, VecNormalize

    from nexus_rl.models.core import MultimodalVAE

Infos = Sequence[Mapping[str, Any]]

LONGEST = 10_000  # steps of an episode; only a time limit allows for more


class Player(Protocol):
    """What can be evaluated: a loaded bundle, or anything alike.

    One that draws random numbers may have a method ``begin(seeds)``, called with a
    seed an environment whenever all begin an episode. One with a memory takes ``state``
    and ``episode_start`` in ``predict`` and returns (actions, state), as policies of
    Stable-Baselines3 do; one that may take ``action_masks`` is given those, ``Actor``.
    """

    @property
    def name(self) -> str:
        """What it is called in the results."""

    @property
    def task(self) -> Task:
        """Its environment, and what it sees of it."""

    @property
    def encoder(self) -> MultimodalVAE | None:
        """The loaded encoder, if it sees latents."""

    def predict(self, observation: Any) -> Any:
        """The actions for a batch of observations."""


class RandomAgent:
    """Draws actions uniformly from the action space of ``task``; sees nothing.

    Of an environment that has ``action_masks`` it draws from what they allow. Its
    actions depend on them and the seed of the episode alone.
    """

    encoder: MultimodalVAE | None = None

    def __init__(self, task: Task, name: str = "random") -> None:
        # Raw sensors come without an encoder's cost.
        self.task = replace(task, perception=Perception("raw"))
        self.name = name
        env = make_task_env(task)
        self._space = env.action_space
        self._spaces: list[Any] = []
        env.close()

    def begin(self, seeds: Iterable[int]) -> None:
        """Begin an episode a seed."""
        self._spaces = []
        for seed in seeds:
            space = copy.deepcopy(self._space)
            # A stream of its own, not that of the environment's first state.
            space.seed(_mixed(seed, 1))
            self._spaces.append(space)

    def predict(
        self, observation: Any, action_masks: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Random actions, one an episode begun."""
        masks = [None] * len(self._spaces) if action_masks is None else action_masks
        return np.stack(list(map(_draw, self._spaces, masks)))


def _draw(space: spaces.Space[Any], mask: NDArray[Any] | None) -> Any:
    """An action that a mask in the form of sb3-contrib allows."""
    if mask is None or isinstance(space, spaces.Box):
        return space.sample()
    allowed = np.asarray(mask, np.int8)
    if isinstance(space, spaces.MultiDiscrete):
        ends = np.cumsum(space.nvec)[:-1]
        return space.sample(tuple(np.split(allowed, ends)))
    if isinstance(space, spaces.MultiBinary):
        zero, one = allowed.reshape(-1, 2).T
        return space.sample(one + (zero & one))  # 2 leaves it open
    return space.sample(allowed)


def evaluate_subsets(
    agent: Player | tuple[Any, Task],
    conditions: str | Sequence[str | Condition] = "all",
    episodes: int = 50,
    seeds: Sequence[int] = (0,),
    *,
    n_envs: int = 10,
    progress: bool = False,
    normalize: VecNormalize | None = None,
) -> Evaluation:
    """Play ``episodes`` whole episodes a seed in each of the conditions.

    ``agent`` is a loaded bundle, a ``RandomAgent``, or a policy or algorithm of
    Stable-Baselines3 with its ``Task``; it acts deterministically, with its memory and
    under masks of actions, if it has such. ``conditions`` are names, groups (see
    ``conditions_of``) or ``Condition``s.

    An algorithm that learns behind VecNormalize acts on observations normalised by its
    statistics as they are; returns are those of the environment. A policy alone, and an
    algorithm loaded without its environments, cannot tell: give the VecNormalize as
    ``normalize``.

    Random numbers are common: episode e of a seed begins in the same state and has the
    same outages whoever plays it, whatever other conditions there are, and however many
    environments ``n_envs`` run side by side.

    Raises ``UserError`` for unknown conditions and numbers below 1, for a policy that
    does not fit its task, ``PolicyPlayer``, and for an episode that goes on for
    ``LONGEST`` steps, unless a time limit cuts it off later.

    Example:
    >>> task = Task("nexus_rl/MultimodalPendulum-v0", {"image_size": 16})
    >>> found = evaluate_subsets(RandomAgent(task), ["missing"], episodes=2)
    >>> [row["condition"] for row in found.rows]
    ['no_image', 'no_image', 'no_sound', 'no_sound']
    >>> found.rows[0]["available"]
    {'image': 0.0, 'sound': 1.0}
    """
    check_numbers(episodes, seeds, n_envs)
    if isinstance(agent, tuple):
        player: Player = PolicyPlayer(*agent, normalize=normalize)
    elif normalize is None:
        player = agent
    else:
        raise UserError("normalize is for a policy with its Task, (policy, task)")
    chosen = task_conditions(player.task, conditions)
    from tqdm import tqdm

    rows: list[Row] = []
    total = len(chosen) * len(seeds) * episodes
    with tqdm(total=total, unit="episode", disable=not progress) as bar:
        for condition in chosen:
            bar.set_description(f"{player.name}, {condition.name}")
            for row in _play(player, condition, episodes, seeds, n_envs):
                rows.append(row)
                bar.update()
    task = player.task
    return Evaluation(
        task.env, dict(task.env_kwargs), episodes, tuple(seeds), tuple(rows)
    )


def check_numbers(episodes: int, seeds: Sequence[int], n_envs: int) -> None:
    """Raise ``UserError`` for numbers that ``evaluate_subsets`` cannot work with."""
    check_count("episodes", episodes, 1)
    check_count("n_envs", n_envs, 1)
    for seed in seeds:
        check_count("a seed", seed, 0)
    if not seeds or len(set(seeds)) < len(seeds):
        raise UserError(f"seeds must be different numbers, at least one, got {seeds!r}")


def task_conditions(
    task: Task, asked: str | Sequence[str | Condition]
) -> tuple[Condition, ...]:
    """The conditions asked for by name, those of the task's sensors, and those given.

    Raises ``UserError`` for unknown names, and names that are not distinct.
    """
    several = [asked] if isinstance(asked, str) else list(asked)
    named = [each for each in several if isinstance(each, str)]
    given = tuple(each for each in several if isinstance(each, Condition))
    if named or not given:
        known = conditions_of(task.env, task.env_kwargs, task.reliable, task.ignore)
        given = (*choose_conditions(named, known), *given)
    names = [condition.name for condition in given]
    if len(set(names)) < len(names):
        raise UserError(f"conditions need distinct names, got {', '.join(names)}")
    return given


def _play(
    player: Player,
    condition: Condition,
    episodes: int,
    seeds: Sequence[int],
    n_envs: int,
) -> Iterator[Row]:
    """The rows of one condition."""
    rounds = math.ceil(episodes / n_envs)
    side_by_side = math.ceil(episodes / rounds)
    task = player.task
    venv = make_vec_env(
        task, side_by_side, 0, condition=condition, model=player.encoder
    )
    try:
        for seed in seeds:
            for first in range(0, episodes, side_by_side):
                count = min(side_by_side, episodes - first)
                begin = episode_seed(seed, first)
                played = _episodes(player, condition, venv, begin, count)
                for episode, told in enumerate(played, first):
                    yield {
                        "agent": player.name,
                        "condition": condition.name,
                        "group": condition.group,
                        "seed": seed,
                        "episode": episode,
                        **told,
                    }
    finally:
        venv.close()


def _episodes(
    player: Player, condition: Condition, venv: VecEnv, seed: int, count: int
) -> list[dict[str, Any]]:
    """Return, length and what was there in one episode of the first ``count``.

    All run until the last of them ends: taking those that end first would favour the
    short ones.
    """
    n, actor = venv.num_envs, Actor(player, venv)
    actor.reset(seed)
    source = telling(venv)
    sensors = tuple(sensors_of(source.observation_space))
    there = _presence(sensors, source.reset_infos)
    returns, lengths = np.zeros(n), np.zeros(n, np.int64)
    seen, live = np.zeros((n, len(sensors))), np.arange(n) < count
    while live.any():
        check_ends(player, condition, venv, lengths.max())
        seen += there * live[:, None]
        rewards, dones, infos = actor.step()
        returns += np.where(live, rewards, 0.0)
        lengths += live
        live &= ~dones
        there = _presence(sensors, infos)
    return [
        {
            "return": float(returns[i]),
            "length": int(lengths[i]),
            "available": dict(
                zip(sensors, (seen[i] / lengths[i]).tolist(), strict=True)
            ),
        }
        for i in range(count)
    ]


def check_ends(player: Player, condition: Condition, venv: VecEnv, steps: int) -> None:
    """Raises ``UserError`` if an episode of so many ``steps`` seems to have no end.

    It may last for ``LONGEST``, or up to the environment's time limit if that is more.
    """
    if steps < LONGEST:
        return
    limit = time_limit(venv.unwrapped.envs[0])  # type: ignore[attr-defined]
    if steps >= max(LONGEST, limit or 0):
        raise UserError(
            f"{player.name} in condition {condition.name!r}: an episode of "
            f"{player.task.env} has not ended after {steps} steps. Limit episodes: "
            'env_kwargs={"max_episode_steps": 500} (--env-kwargs '
            "max_episode_steps=500 on the command line), or a larger number if they "
            "last so long"
        )


def telling(venv: VecEnv) -> VecEnv:
    """The part of ``venv`` whose ``reset_infos`` say which sensors are there."""
    from stable_baselines3.common.vec_env import unwrap_vec_wrapper

    from nexus_rl.wrappers import VecSensorDropout

    dropout = unwrap_vec_wrapper(venv, VecSensorDropout)
    return venv.unwrapped if dropout is None else dropout


def _presence(sensors: Sequence[str], infos: Infos) -> NDArray[np.bool_]:
    """Which sensors are there, (N, M); all, where nobody tells."""
    told = [info.get(MASK, {}) for info in infos]
    return np.array([[there.get(name, True) for name in sensors] for there in told])


def episode_seed(seed: int, episode: int) -> int:
    """What seeds the environment of an episode, which is one more than the last's.

    Neighbouring seeds of an environment are unrelated streams.
    """
    return _mixed(seed, 0) + episode


def _mixed(*numbers: int) -> int:
    """One number of 32 bits from several."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])
