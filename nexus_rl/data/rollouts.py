"""Observations of any environment with several sensors, collected and kept on disk."""

from __future__ import annotations

import copy
import json
import tempfile
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Literal

import gymnasium as gym
import numpy as np
from tqdm import tqdm

from nexus_rl.data.rollout_env import Env, Observation, RecordedEnv
from nexus_rl.data.rollout_index import Column
from nexus_rl.data.rollout_reader import Rollouts, load_rollouts
from nexus_rl.data.rollout_store import PartWriter, check_free
from nexus_rl.environments import make_env, prepare_training
from nexus_rl.errors import UserError, choose
from nexus_rl.locks import held

__all__ = ["Rollouts", "collect", "gather", "load_rollouts", "sample"]

HOLD = 20
STATES = 1000  # sampled at a time
BUFFER = 250  # rows written at a time

Policy = Callable[[Observation], Any]
How = dict[str, Any]


def collect(
    env: str | Env,
    steps: int,
    *,
    policy: Literal["random", "random_hold"] | Policy = "random_hold",
    hold: int = HOLD,
    seed: int = 0,
    ignore: Collection[str] = (),
    out: str | Path | None = None,
    progress: bool = False,
) -> Rollouts:
    """Plays an environment and keeps ``steps`` rows; each reset counts as one too.

    ``env`` is a Gymnasium id or an environment (which stays open) whose observations
    are a ``Dict`` of arrays, with all sensors present: not wrapped in SensorDropout.
    "random" draws every action anew, "random_hold" holds each for 1 to ``hold`` steps;
    any other policy is a function of the observation, known by its name. Rows are
    without the entries to ``ignore``, such as texts.

    ``out`` is the folder to keep the rows in; without it they are in memory. A call
    adds its rows to those of other calls. The same call again goes on where a killed
    one stopped, ends with the same bytes as one that was not, and adds nothing to a
    finished one. Episode k is seeded by ``seed``, the policy's name and k, so an
    environment must depend on nothing but its seed.

    Raises ``UserError`` on spaces that are not arrays and on bad numbers; if ``out``
    holds other files, another environment, or this policy and seed with other
    ``steps``, or if another process adds to it; if it is damaged, or the disk full.

    Example::

        collect("envs:nexus_rl/HyperHot-v0", 10_000, seed=1, out="runs/hyperhot")
    """
    with opened(env, ignore=ignore) as recorded, _folder(out) as folder:
        how, start = _policy(recorded, policy, hold, seed)
        unit = partial(_play_episode, recorded, start)
        fill(folder, recorded.name, recorded.columns, how, steps, unit, progress)
        return load_rollouts(folder, in_memory=out is None)


def sample(
    env: str | Env,
    n: int,
    *,
    seed: int = 0,
    ignore: Collection[str] = (),
    out: str | Path | None = None,
    progress: bool = False,
) -> Rollouts:
    """Observations of ``n`` states drawn by the environment: no episodes needed.

    For environments that offer ``sample_states(n, rng)``, ``observe(*states)`` and,
    where ``info`` has a state, ``state_features(*states)``, all of them batched, such
    as the pendulums. Rows, ``out`` and errors are those of ``collect``; raises
    ``UserError`` for an environment that does not offer this too.

    Example: ``sample("envs:nexus_rl/MultimodalPendulum-v0", 20_000).observations()``.
    """
    with opened(env, ignore=ignore) as recorded, _folder(out) as folder:
        _sample(recorded, folder, n, seed, progress)
        return load_rollouts(folder, in_memory=out is None)


def gather(
    env: str | Env,
    rows: int,
    *,
    seed: int = 0,
    ignore: Collection[str] = (),
    out: str | Path | None = None,
    progress: bool = False,
) -> Rollouts:
    """A mixture to learn perception from: half sampled states, half "random_hold".

    All rows come from rollouts if the environment offers no states to sample. Rows,
    ``out`` and errors are those of ``collect`` and ``sample``.

    Example: ``gather("envs:nexus_rl/MultimodalPendulum-v0", 20_000, out="data")``.
    """
    with opened(env, ignore=ignore) as recorded, _folder(out) as folder:
        sampled, left = _shares(recorded, rows)
        if sampled:
            _sample(recorded, folder, sampled, seed, progress)
        how, start = _policy(recorded, "random_hold", HOLD, seed)
        unit = partial(_play_episode, recorded, start)
        fill(folder, recorded.name, recorded.columns, how, left, unit, progress)
        return load_rollouts(folder, in_memory=out is None)


def most_episodes(env: RecordedEnv, rows: int) -> tuple[int, int]:
    """How many episodes each part of ``gather`` has at most."""
    sampled, played = _shares(env, rows)
    return sampled, (played + 1) // 2  # of two rows or more, but for the last


def _shares(env: RecordedEnv, rows: int) -> tuple[int, int]:
    """How many rows of a mixture are sampled and played."""
    _check_whole(rows=rows)
    if rows < 1:
        raise UserError(f"expected at least one row, got {rows}")
    sampled = 0 if env.missing_sampler else rows // 2
    return sampled, rows - sampled


def fill(
    folder: Path,
    env: dict[str, Any],
    columns: dict[str, Column],
    how: How,
    rows: int,
    unit: Callable[[PartWriter], None],
    progress: bool,
) -> None:
    """Adds units until the part collected by ``how`` has so many rows.

    One process at a time: raises ``UserError`` if another one adds to ``folder``.
    """
    _check_whole(rows=rows, seed=how.get("seed", 0))
    if rows < 1:
        raise UserError(f"expected at least one row, got {rows}")
    if how.get("seed", 0) < 0:
        raise UserError(f"seed must not be negative, got {how['seed']}")
    check_free(folder)
    with (
        held(folder),
        PartWriter(folder, env, columns, how, rows) as writer,
        tqdm(
            total=rows, initial=writer.part.done, unit="row", disable=not progress
        ) as bar,
    ):
        while writer.left:
            before = writer.part.done
            unit(writer)
            bar.update(writer.part.done - before)


def _sample(env: RecordedEnv, folder: Path, n: int, seed: int, progress: bool) -> None:
    if env.missing_sampler:
        raise UserError(
            f"cannot sample states of {env.name['id']}: {env.missing_sampler}; collect "
            "rollouts instead"
        )
    how = {"source": "states", "seed": seed}
    unit = partial(_sample_states, env)
    fill(folder, env.name, env.columns, how, n, unit, progress)


def _sample_states(env: RecordedEnv, writer: PartWriter) -> None:
    """Adds a batch of sampled states."""
    count = min(STATES, writer.left)
    seeds = _seeds(writer.part.how, writer.part.done // STATES)
    rows = env.sampled_rows(count, np.random.default_rng(seeds))
    rows["episode"] = writer.index.episodes + np.arange(count)
    writer.add(rows, count)
    writer.end(episodes=count)


def _play_episode(
    env: RecordedEnv, start: Callable[[int], Policy], writer: PartWriter
) -> None:
    """Adds one episode, or as much of it as there are rows left."""
    seeds = _seeds(writer.part.how, writer.part.episodes).generate_state(2)
    act = start(int(seeds[1]))
    observation, info = env.env.reset(seed=int(seeds[0]))
    rows = [env.row(observation, info, env.no_action)]
    step, left, running = 0, writer.left, True
    while running and step + 1 < left:
        action = act(observation)
        observation, reward, terminated, truncated, info = env.env.step(action)
        rows.append(env.row(observation, info, action, reward, terminated, truncated))
        step, running = step + 1, not (terminated or truncated)
        if len(rows) == BUFFER:
            _add_rows(writer, rows, step)
            rows = []
    _add_rows(writer, rows, step)
    writer.end(episodes=1)


def _add_rows(writer: PartWriter, rows: list[dict[str, Any]], last_step: int) -> None:
    """Adds the rows of one episode that end with ``last_step``."""
    if not rows:
        return
    columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
    columns["episode"] = np.full(len(rows), writer.index.episodes)
    columns["step"] = np.arange(last_step + 1 - len(rows), last_step + 1)
    writer.add(columns, len(rows))


def _policy(
    env: RecordedEnv, policy: str | Policy, hold: int, seed: int
) -> tuple[How, Callable[[int], Policy]]:
    """What the index says of a policy, and what gives it for the seed of an episode."""
    if not isinstance(policy, str):
        kind = policy if hasattr(policy, "__qualname__") else type(policy)
        name = f"{kind.__module__}:{kind.__qualname__}"
        return {"source": name, "seed": seed}, lambda _: _cast_actions(env, policy)
    choose(policy, {"random": 1, "random_hold": 1}, "policy")
    _check_whole(hold=hold)
    if hold < 1:
        raise UserError(f"hold must be at least 1 step, got {hold}")
    space = copy.deepcopy(env.env.action_space)
    how = {"source": policy, "seed": seed}
    if policy == "random":
        return how, lambda seed: _RandomHold(space, 1, seed)
    return {**how, "hold": hold}, lambda seed: _RandomHold(space, hold, seed)


class _RandomHold:
    """Random actions, each held for 1 to ``hold`` steps."""

    def __init__(self, space: gym.Space[Any], hold: int, seed: int) -> None:
        space.seed(seed)
        self.space, self.hold, self.left = space, hold, 0
        self.action: Any = None

    def __call__(self, _: Observation) -> Any:
        if self.left == 0:
            self.action = self.space.sample()
            self.left = int(self.space.np_random.integers(1, self.hold, endpoint=True))
        self.left -= 1
        return self.action


def _cast_actions(env: RecordedEnv, policy: Policy) -> Policy:
    """``policy`` with its actions in the dtype they are stored in."""
    column = env.columns["action"]

    def act(observation: Observation) -> Any:
        # A copy, because a policy may write to its arrays again.
        return column.check("action", policy(observation)).copy()[()]

    return act


def _check_whole(**numbers: Any) -> None:
    """Raises ``UserError`` for what is not an ``int``, which an index can hold."""
    for name, number in numbers.items():
        if not isinstance(number, int):
            raise UserError(f"{name} must be an int, got {number!r}")


def _seeds(how: How, unit: int) -> np.random.SeedSequence:
    """The seeds of a unit of a part: an episode, or a batch of sampled states."""
    text = json.dumps({**how, "seed": None}, sort_keys=True)
    return np.random.SeedSequence([how["seed"], zlib.crc32(text.encode()), unit])


@contextmanager
def opened(
    env: str | Env,
    env_kwargs: Mapping[str, Any] | None = None,
    ignore: Collection[str] = (),
) -> Iterator[RecordedEnv]:
    """The environment, made and closed again if it is given by its id."""
    with made(env, env_kwargs) as given:
        yield RecordedEnv(given, ignore)


@contextmanager
def made(env: str | Env, env_kwargs: Mapping[str, Any] | None = None) -> Iterator[Env]:
    """``opened`` of environments that need not be recorded."""
    if not isinstance(env, str):
        if env_kwargs:
            raise UserError("env_kwargs are for an id; this environment is made")
        prepare_training()  # in time if the environment has not rendered yet
        yield env
        return
    new = make_env(env, env_kwargs)
    try:
        yield new
    finally:
        new.close()


@contextmanager
def _folder(out: str | Path | None) -> Iterator[Path]:
    """``out``, or a folder that is gone afterwards."""
    if out is not None:
        yield Path(out)
        return
    with tempfile.TemporaryDirectory(prefix="rollouts-") as scratch:
        yield Path(scratch)
