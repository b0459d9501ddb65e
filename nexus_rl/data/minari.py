"""Rollouts to and from Minari, the format of Farama's offline data sets.

Needs the extra ``pip install nexus_rl[minari]``. Minari keeps its data sets in
``$MINARI_DATASETS_PATH`` or ``~/.minari``.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces

from nexus_rl.data.rollout_env import (
    SENSOR,
    Env,
    check_spaces,
    columns_of,
    env_name,
    name_of,
    true_state,
)
from nexus_rl.data.rollout_index import Column
from nexus_rl.data.rollout_reader import Rollouts, load_rollouts
from nexus_rl.data.rollout_store import PartWriter
from nexus_rl.data.rollouts import fill, made
from nexus_rl.errors import UserError
from nexus_rl.mask import dict_entries


def export_minari(
    rollouts: Rollouts, dataset_id: str, env: str | Env, **metadata: Any
) -> Any:
    """Writes the episodes of ``rollouts`` as the Minari data set ``dataset_id``.

    Returns the ``MinariDataset``. Numbers are kept exactly (no JPEG). Episodes without
    a step are left out: Minari has no place for sampled states. An episode that the
    collection cut off counts as truncated. The true state goes to ``infos["state"]``.
    ``env`` is what was recorded; ``metadata`` (author, author_email, code_permalink,
    description, algorithm_name, ...) goes to Minari.

    Raises ``UserError`` if Minari is not installed, the id malformed or taken, ``env``
    another environment, or if there is no step.

    Example: ``export_minari(rollouts, "pendulum/random-v0", "envs:nexus_rl/...")``.
    """
    minari = _import()
    _check_id(dataset_id)
    with made(env) as given, warnings.catch_warnings():
        if name_of(given) != rollouts.env:
            raise UserError(
                f"the rollouts are of {rollouts.env}, not of {name_of(given)}"
            )
        entries = dict_entries(given.observation_space)
        recorded = spaces.Dict([(name, entries[name]) for name in rollouts.sensors])
        buffers = list(_buffers(rollouts))
        if not buffers:
            raise UserError("no episode has a step to export; collect rollouts first")
        # Minari warns of every piece of metadata that is not given.
        warnings.simplefilter("ignore", UserWarning)
        try:
            return minari.create_dataset_from_buffers(
                dataset_id,
                buffers,
                env=given,
                observation_space=recorded,
                jpeg_encoding=False,
                **metadata,
            )
        except ValueError as error:
            raise UserError(f"cannot write Minari data set: {error}") from error


def import_minari(
    dataset_id: str,
    out: str | Path,
    progress: bool = False,
    ignore: Collection[str] = (),
) -> Rollouts:
    """Adds the local Minari data set ``dataset_id`` to the rollouts in ``out``.

    Interrupted, the same call goes on, as with ``collect``. ``infos["state"]`` becomes
    the true state; the entries to ``ignore`` are left out. Raises ``UserError`` if
    Minari is not installed, has no such data set here (nothing is downloaded), or if
    its spaces or ``out`` do not suit ``collect``; and, before anything is written, if
    an episode does not fit the spaces or is not whole.

    Example: ``import_minari("pendulum/random-v0", out="data").observations()``.
    """
    minari = _import()
    _check_id(dataset_id)
    try:
        dataset = minari.load_dataset(dataset_id)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(
            f"cannot read Minari data set {dataset_id!r}: {error}"
        ) from error
    if not dataset.total_episodes:
        raise UserError(f"Minari data set {dataset_id!r} has no episodes")
    sensors = check_spaces(dataset.observation_space, dataset.action_space, ignore)
    states = (_episode(dataset, 0).infos or {}).get("state")
    state = states[0] if isinstance(states, np.ndarray) and states.size else None
    state = true_state({"state": state})
    columns = columns_of(sensors, dataset.action_space, state)
    name = env_name(dataset.env_spec, dataset_id)
    episodes = range(dataset.total_episodes)
    rows = sum(_rows(dataset, number, columns)[1] for number in episodes)
    how = {"source": f"minari:{dataset_id}"}
    fill(Path(out), name, columns, how, rows, partial(_add, dataset), progress)
    return load_rollouts(out)


def _add(dataset: Any, writer: PartWriter) -> None:
    """Adds the next episode."""
    rows, count = _rows(dataset, writer.part.episodes, writer.index.columns)
    rows["episode"] = np.full(count, writer.index.episodes)
    rows["step"] = np.arange(count)
    writer.add(rows, count)
    writer.end(episodes=1)


def _episode(dataset: Any, number: int) -> Any:
    try:
        return dataset[number]
    except (OSError, ValueError, KeyError, IndexError, AssertionError) as error:
        why = f"{type(error).__name__}: {error}"
        raise UserError(f"{_place(dataset, number)} cannot be read ({why})") from error


def _place(dataset: Any, number: int) -> str:
    return f"Minari data set {dataset.id!r}, episode {number}"


def _rows(
    dataset: Any, number: int, columns: Mapping[str, Column]
) -> tuple[dict[str, Any], int]:
    """An episode as columns, but for its numbers, and how many rows they have.

    Raises ``UserError`` that names the entry unless each fits its column.
    """
    episode = _episode(dataset, number)
    steps = len(episode)
    entries = {  # column: what Minari calls it, its values, and how many there must be
        "action": ("actions", episode.actions, steps),
        "reward": ("rewards", episode.rewards, steps),
        "terminated": ("terminations", episode.terminations, steps),
        "truncated": ("truncations", episode.truncations, steps),
    }
    if "state" in columns:
        states = (episode.infos or {}).get("state")
        entries["state"] = ("infos['state']", states, steps + 1)
    for column in columns:
        if column.startswith(SENSOR):
            sensor = column.removeprefix(SENSOR)
            values = episode.observations.get(sensor)
            entries[column] = (f"observations[{sensor!r}]", values, steps + 1)
    rows = {}
    for column, (entry, values, count) in entries.items():
        what = f"{_place(dataset, number)}: {entry}"
        if values is None:
            raise UserError(f"{what} is missing")
        found = np.shape(values)[:1]
        if found != (count,):
            raise UserError(
                f"{what} has {found[0] if found else 'no'} rows, expected {count}: "
                f"there are {steps} rewards, so {steps} steps, and one more observation"
            )
        try:
            checked = columns[column].check(column, values, (count,))
        except UserError as error:
            raise UserError(f"{what} does not fit: {error}") from None
        # Nothing led to the first observation.
        start = np.zeros((steps + 1 - count, *checked.shape[1:]), checked.dtype)
        rows[column] = np.concatenate([start, checked])
    return rows, steps + 1


def _buffers(rollouts: Rollouts) -> Iterator[Any]:
    """The episodes that have steps; their arrays stay in the files."""
    episode_buffer = import_module("minari.data_collector").EpisodeBuffer
    columns = rollouts.columns
    starts = np.flatnonzero(columns["step"] == 0)
    for start, stop in zip(starts, [*starts[1:], len(rollouts)], strict=True):
        if stop - start < 2:
            continue
        steps = slice(start + 1, stop)
        terminated = columns["terminated"][steps]
        truncated = np.array(columns["truncated"][steps])
        truncated[-1] |= not terminated[-1]
        yield episode_buffer(
            observations={
                name: columns[SENSOR + name][start:stop] for name in rollouts.sensors
            },
            actions=columns["action"][steps],
            rewards=columns["reward"][steps],
            terminations=terminated,
            truncations=truncated,
            infos={"state": columns["state"][start:stop]} if "state" in columns else {},
        )


def _check_id(dataset_id: str) -> None:
    if not re.search(r"-v\d+$", dataset_id):  # Minari itself says nothing of use
        raise UserError(
            f"{dataset_id!r} is no id of a Minari data set: expected a name and its "
            "version, such as pendulum/random-v0"
        )


def _import() -> Any:
    try:
        import_module("h5py")
        return import_module("minari")
    except ImportError as error:
        raise UserError(
            f"Minari is not installed ({error}): pip install nexus_rl[minari]"
        ) from error
