"""Random streams of the wrappers: keyed by the seed given to reset, purpose and depth.

Nothing is spawned from an environment's own generator, so an environment draws the
same numbers with and without wrappers, and wrappers the same in any process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.random import SeedSequence

from nexus_rl.declared import declared
from nexus_rl.wrappers.checks import check_count

DROPOUT, CORRUPTION, SAMPLES = 0xD209, 0xC0227, 0x5A5161  # purposes


def keyed(root: SeedSequence, purpose: int, depth: int = 0) -> SeedSequence:
    """The stream of the wrapper with this purpose that is ``depth`` deep."""
    key = (*root.spawn_key, purpose, depth)
    return SeedSequence(root.entropy, spawn_key=key)


def depth_around(env: Any, attribute: str) -> int:
    """How many wrappers of a kind are inside: those that declare ``attribute``."""
    return max(declared(env, attribute), default=-1) + 1


def seeds_of(seed: int | Sequence[int | None] | None, envs: int) -> list[int | None]:
    """The seed of each environment of a vector that is reset with ``seed``."""
    if isinstance(seed, Sequence | np.ndarray):
        return list(seed)
    return [None if seed is None else int(seed) + i for i in range(envs)]


def take_seeds(venv: Any) -> list[int | None]:
    """The seeds of the coming reset of a wrapper around a ``VecEnv``, which it forgets.

    They were given to the wrapper, or to the environments before they were wrapped.
    """
    given, inner = venv._seeds, getattr(venv.unwrapped, "_seeds", venv._seeds)
    venv._reset_seeds()
    return [b if b is not None else a for a, b in zip(given, inner, strict=True)]


def pass_seed(venv: Any, seed: int | None) -> Sequence[int | None]:
    """Seeds what a wrapper around a ``VecEnv`` wraps, and keeps the seeds."""
    given = venv.venv.seed(seed)
    venv._seeds = seeds_of(seed, venv.num_envs) if given is None else list(given)
    return list(venv._seeds)


def roots(
    seeds: Sequence[int | None], which: Collection[int], np_random: Callable[[], Any]
) -> dict[int, SeedSequence]:
    """What the streams of the environments ``which`` are keyed from.

    That is the seed of each. Where there is none it is what its generator was seeded
    with, which stays as it is; ``np_random`` gives a generator each, or one for all.
    Environments without one begin from fresh entropy, as Gymnasium's do.
    """
    given = {i: seeds[i] for i in which}
    for seed in given.values():
        if seed is not None:
            check_count("seed", seed, 0)
    generators: Any = None
    if None in given.values():
        with suppress(AttributeError, NotImplementedError):
            generators = np_random()
    return {
        i: _root_of(generators, i) if seed is None else SeedSequence(int(seed))
        for i, seed in given.items()
    }


def _root_of(generators: Any, env: int) -> SeedSequence:
    shared = not isinstance(generators, list | tuple)
    generator = generators if shared else generators[env]
    root = getattr(getattr(generator, "bit_generator", None), "seed_seq", None)
    if not isinstance(root, SeedSequence):
        return SeedSequence()
    key = (*root.spawn_key, env) if shared else root.spawn_key
    return SeedSequence(root.entropy, spawn_key=key)
