"""Whether anything behind a mask reaches a result: NaN, infinities, stale readings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import SyncVectorEnv

from nexus_rl import (
    Modality,
    NexusObservation,
    SensorDropout,
    VecNexusObservation,
    make_model,
)
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.wrappers import Bernoulli

MODELS = ("nexus", "muse", "mvae", "mmvae", "mopoe", "gmc")
MODALITIES = (
    Modality("image", (1, 8, 8), kind="frames", width=16, latent_dim=4),
    Modality("touch", (5,), low=-1, high=1, width=16, latent_dim=4),
    Modality("label", (3,), "categorical", width=16, latent_dim=4),
)
DTYPES = {
    "image": (torch.uint8, torch.float32, torch.float16, torch.bfloat16, torch.float64),
    "touch": (torch.float32, torch.float16, torch.bfloat16, torch.float64),
    "label": (torch.int64, torch.uint8, torch.int32, torch.int16),
}
ROWS = 50  # of a batch
GARBAGE = ("nan", "inf", "-inf", "huge", "stale", "none")

Batch = dict[str, Any]
Rng = np.random.Generator


def noise(name: str, observations: int, seed: int) -> dict[str, Any]:
    """Encodes so many through a model, with garbage and with zeros behind the masks.

    Nine of ten batches are given to the model, the tenth to wrappers around it. Counts
    what stood behind masks, and results that were not equal to the last bit.
    """
    rng, found, leaks = np.random.default_rng(seed), Counter(), []
    levels = {} if name == "gmc" else {"levels": 2}
    model = make_model(name, MODALITIES, seed=seed, width=16, latent_dim=4, **levels)
    model.eval()
    for batch in range(-(-observations // ROWS)):
        kind = GARBAGE[batch // 2 % len(GARBAGE)]
        check = _wrappers if batch % 10 == 9 else _calls
        different = check(model, kind, rng)
        found[f"{'wrappers' if check is _wrappers else 'model'}: {kind}"] += ROWS
        leaks += [f"{name}: {kind} in {call}" for call in different]
    return {"observations": sum(found.values()), "kinds": dict(found), "lost": leaks}


# -- Calls of a model ------------------------------------------------------------


def _calls(model: MultimodalVAE, kind: str, rng: Rng) -> list[str]:
    """The calls whose results depend on what stands behind the mask."""
    there = torch.from_numpy(rng.random((ROWS, len(MODALITIES))) < rng.random())
    if kind == "none":  # only what is missing in every row can be
        there &= torch.from_numpy(rng.random(len(MODALITIES)) < 0.5)
    clean, dirty = {}, {}
    for column, modality in enumerate(MODALITIES):
        data, missing = _data(modality, rng), ~there[:, column]
        stale = data[torch.from_numpy(rng.permutation(ROWS))]
        clean[modality.name], dirty[modality.name] = data.clone(), data
        clean[modality.name][missing] = 0
        dirty[modality.name][missing] = _garbage(kind, stale, rng)[missing]
        if kind == "none" and missing.all():
            dirty[modality.name] = None
    seed = int(rng.integers(2**31))
    results = [_results(model, batch, there, seed) for batch in (clean, dirty)]
    clean_results, dirty_results = results
    return [c for c, value in dirty_results.items() if value != clean_results[c]]


def _data(modality: Modality, rng: Rng) -> torch.Tensor:
    dtypes = DTYPES[modality.name]
    dtype = dtypes[rng.integers(len(dtypes))]
    if modality.categorical:
        data = torch.from_numpy(rng.integers(modality.shape[0], size=ROWS))
    elif dtype == torch.uint8:
        data = torch.from_numpy(rng.integers(256, size=(ROWS, *modality.shape)))
    else:
        data = torch.from_numpy(rng.random((ROWS, *modality.shape)))
    return data.to(dtype)


def _garbage(kind: str, stale: torch.Tensor, rng: Rng) -> torch.Tensor:
    """Readings like ``stale`` that should not be read; integers have no NaN."""
    if kind in ("stale", "none"):
        return stale
    if not stale.is_floating_point():
        limits = torch.iinfo(stale.dtype)
        return torch.full_like(stale, limits.max if rng.random() < 0.5 else limits.min)
    huge = torch.finfo(stale.dtype).max
    value = {"nan": torch.nan, "inf": torch.inf, "-inf": -torch.inf, "huge": huge}[kind]
    if rng.random() < 0.5:
        return torch.full_like(stale, value)
    spots = torch.from_numpy(rng.random(tuple(stale.shape)) < 0.2)
    return stale.masked_fill(spots, value)


@torch.no_grad()
def _results(
    model: MultimodalVAE, batch: Batch, there: torch.Tensor, seed: int
) -> dict[str, bytes]:
    """The bytes of what the calls return."""
    found: dict[str, list[torch.Tensor]] = {"encode": [model.encode(batch, there)]}
    # None costs no draws, so that samples may differ from those beside zeros.
    samples = (False,) if None in batch.values() else (False, True)
    if model.generative:
        for sample in samples:
            how = {"sample": sample, "generator": torch.Generator().manual_seed(seed)}
            posterior = model.posterior(batch, there, **how)
            found[f"posterior, sample={sample}"] = [posterior.mean, posterior.stddev]
            made = model.generate(batch, there, **how)
            found[f"generate, sample={sample}"] = list(made.values())
    return {
        call: b"".join(value.numpy().tobytes() for value in values)
        for call, values in found.items()
    }


# -- Wrappers --------------------------------------------------------------------


class Replay(gym.Env[Batch, int]):
    """Shows rows that are given, and which of their sensors are there."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Dict(
        {
            "image": spaces.Box(0, 255, (1, 8, 8), np.uint8),
            "touch": spaces.Box(-1, 1, (5,), np.float32),
            "label": spaces.Discrete(3),
            "available": spaces.Box(0, 1, (3,), np.float32),
        }
    )
    mask_columns = {m.name: column for column, m in enumerate(MODALITIES)}  # noqa: RUF012

    def __init__(self, rows: list[Batch]) -> None:
        self.rows = rows

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[Batch, dict[str, Any]]:
        super().reset(seed=seed)
        self.next = iter(self.rows)
        return next(self.next), {}

    def step(self, action: int) -> tuple[Batch, float, bool, bool, dict[str, Any]]:
        return next(self.next), 0.0, False, False, {}


def _wrappers(model: MultimodalVAE, kind: str, rng: Rng) -> list[str]:
    """The wrappers whose latents depend on what stands behind the mask."""
    clean, dirty = _rows(kind, rng)
    schedule, seed = Bernoulli(0.3), int(rng.integers(2**31))

    def dropout(rows: list[Batch]) -> gym.Env[Any, Any]:
        env = SensorDropout(Replay(rows), schedule, sensors=["image", "touch"])
        return NexusObservation(env, model)

    def vector(rows: list[Batch]) -> Any:
        return VecNexusObservation(SyncVectorEnv([lambda: Replay(rows)] * 2), model)

    makers: dict[str, Any] = {
        "NexusObservation": lambda rows: NexusObservation(Replay(rows), model),
        "SensorDropout": dropout,
    }
    if kind != "none":  # Gymnasium's vectors stack arrays only
        makers["VecNexusObservation"] = vector
    return [
        name
        for name, make in makers.items()
        if list(_latents(make(clean), seed)) != list(_latents(make(dirty), seed))
    ]


def _rows(kind: str, rng: Rng) -> tuple[list[Batch], list[Batch]]:
    """The same observations with zeros behind the masks, and with garbage."""
    space, clean, dirty, chance = Replay.observation_space, [], [], rng.random()
    for _ in range(ROWS):
        there = rng.random(len(MODALITIES)) < chance
        row = {**space.sample(), "available": there.astype(np.float32)}
        zeros, garbage = dict(row), dict(row)
        for modality, seen in zip(MODALITIES, there, strict=True):
            name = modality.name
            if not seen:
                zeros[name] = np.zeros_like(row[name])
                garbage[name] = None if kind == "none" else _reading(kind, name, rng)
        clean.append(zeros)
        dirty.append(garbage)
    return clean, dirty


def _reading(kind: str, name: str, rng: Rng) -> Any:
    sample = Replay.observation_space[name].sample()
    return _garbage(kind, torch.as_tensor(sample), rng).numpy()


def _latents(env: Any, seed: int) -> Iterator[bytes]:
    latent, _ = env.reset(seed=seed)
    yield latent.tobytes()
    for _ in range(ROWS - 1):
        action = np.zeros(getattr(env, "num_envs", 1), int)
        latent, *_ = env.step(action if len(action) > 1 else 0)
        yield latent.tobytes()
    env.close()
