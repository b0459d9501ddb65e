"""Dict observations of sensors that may fail to latents: what the wrappers share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing import parent_process
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from nexus_rl.errors import UserError, choose
from nexus_rl.formats import sensor_formats
from nexus_rl.mask import mask_columns, space_of
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.models.files import load_model
from nexus_rl.processes import resolve_device
from nexus_rl.spaces import check_fit
from nexus_rl.wrappers.checks import as_names
from nexus_rl.wrappers.masking import Observation
from nexus_rl.wrappers.readings import Latents, Mask, Readings, why_not_finite
from nexus_rl.wrappers.seeds import SAMPLES, keyed, roots

Latent = Literal["mean", "sample", "mean_logvar"]
WhenBlind = Literal["hold", "prior"]


class EncoderOptions(TypedDict, total=False):
    """The options that every observation wrapper takes, by keyword.

    - ``latent``: "mean" (default) of the posterior; "sample", one draw from it; or
      "mean_logvar", mean and log-variance side by side.
    - ``append``: sensors that follow the latent as they are, in this order, flat and
      as float32. The model need not know them. One that is missing is what the dropout
      wrapper fills in. Default: none.
    - ``ignore``: entries that nobody needs, neither model nor agent. Default: none.
    - ``append_mask``: whether a column follows for each sensor, 1 where it is there:
      ``model.modalities`` without those that are absent, then what ``append`` names
      besides; default False.
    - ``absent``: modalities of the model that the environment never shows. Default:
      none.
    - ``when_blind``: where no modality is available, "hold" (default) repeats the
      latent of the step before, the prior at the start of an episode; "prior" is always
      that: mean zero, log-variance zero.
    - ``columns``: the sensor of each column of "available", where what makes that key
      does not tell (see ``nexus_rl.mask.mask_columns``). Sensors without a column are
      always there.
    - ``device``: where a model from a folder runs, default "cpu". A given model stays
      where it is.
    """

    latent: Latent
    append: Sequence[str]
    ignore: Sequence[str]
    append_mask: bool
    absent: Sequence[str]
    when_blind: WhenBlind
    columns: Sequence[str] | None
    device: str | None


class Encoder:
    """Encodes the observations of the environments ``env``, one model call a step.

    ``model`` is a folder written by ``save_pretrained`` or a model; ``env`` is one
    environment, or vectorised ones, of Dict observations, in which "available", (M,),
    may say which sensors are there (without it all are). ``options`` are
    ``EncoderOptions``. ``space`` of the encoder is that of the latents:
    ``Box(-inf, inf, (size,), float32)``.

    The model always runs in eval mode, without gradients, and is never changed: one
    that is in training mode is switched for the duration of the call. The parameters of
    a loaded model are frozen for good. In processes started by multiprocessing, as
    vectorised environments start them, torch is held to one thread during the call.

    Raises ``UserError`` where model, space and options do not fit together, or where
    an available sensor holds NaN or infinity.

    Example:
    >>> import gymnasium as gym
    >>> import numpy as np
    >>> from nexus_rl import make_model
    >>> from nexus_rl.spaces import modalities_from_space
    >>> env = gym.make("envs:nexus_rl/MultimodalPendulum-v0")
    >>> model = make_model("nexus", modalities_from_space(env.observation_space))
    >>> encoder = Encoder(model, env)
    >>> observation, _ = env.reset(seed=0)
    >>> batch = {name: value[None] for name, value in observation.items()}
    >>> latents, _ = encoder.encode(batch, started=np.array([True]))
    >>> latents.shape
    (1, 16)
    """

    def __init__(
        self,
        model: str | Path | MultimodalVAE,
        env: Any,
        *,
        latent: Latent = "mean",
        append: Sequence[str] = (),
        ignore: Sequence[str] = (),
        append_mask: bool = False,
        absent: Sequence[str] = (),
        when_blind: WhenBlind = "hold",
        columns: Sequence[str] | None = None,
        device: str | None = None,
    ) -> None:
        self.latent = choose(
            latent, {name: name for name in get_args(Latent)}, "latent"
        )
        choose(when_blind, dict.fromkeys(get_args(WhenBlind)), "when_blind")
        self.model = _take(model, device)
        space, formats = space_of(env), sensor_formats(env)
        named = {
            "append": as_names(append),
            "absent": as_names(absent),
            "ignore": as_names(ignore),
        }
        check_fit(self.model, space, formats, **named)
        if latent != "mean" and not self.model.generative:
            raise UserError(
                f"{self.model.name} has no posterior: latent must be 'mean', got "
                f"{latent!r}"
            )
        self.envs: int = getattr(env, "num_envs", 1)
        self.latent = latent
        self.append_mask = append_mask
        self.when_blind = when_blind
        names = [modality.name for modality in self.model.modalities]
        self._readings = Readings(
            names, space, mask_columns(env, columns), named["append"], named["absent"]
        )
        width = self.model.latent_dim * (2 if latent == "mean_logvar" else 1)
        size = width + self._readings.size + append_mask * len(self._readings.told)
        self.space = spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self._modules = tuple(self.model.modules())
        self._noise: dict[int, np.random.Generator] = {}
        self._held = np.zeros((self.envs, width), np.float32)
        self._holds = np.zeros(self.envs, bool)

    def seed(self, seeds: Sequence[int | None], np_random: Callable[[], Any]) -> None:
        """Draws samples from these seeds from now on, one an environment.

        Those without one go on as they are, or begin with what ``np_random`` gives, as
        ``seeds.roots`` does.
        """
        if self.latent != "sample":
            return
        new = [
            env
            for env in range(self.envs)
            if seeds[env] is not None or env not in self._noise
        ]
        for env, root in roots(seeds, new, np_random).items():
            self._noise[env] = np.random.default_rng(keyed(root, SAMPLES))

    def encode(
        self,
        observations: Observation,
        started: Mask,
        final: Mapping[int, Observation] | None = None,
    ) -> tuple[Latents, dict[int, Latents]]:
        """Latents (envs, size) of the batch ``observations``, and those of ``final``.

        ``started`` (envs,) marks rows that are the first of an episode: what was held
        is forgotten. ``final`` has, by environment, the last observations of episodes
        that ended just before; they belong to the old episode.
        """
        final = final or {}
        count = len(final)
        envs = np.array([*final, *range(self.envs)], int)
        last = list(final.values())
        rows, told = self._readings.rows(observations, last, self.envs)
        available = told[:, : len(self.model.modalities)]
        latents = self._infer(rows, available, envs)
        if not np.isfinite(latents).all():
            columns = zip(self._readings.names, available.T, strict=False)
            there = {n: mask for n, mask in columns if n in self._readings.encoded}
            raise UserError(why_not_finite(rows, there))
        if self.when_blind == "hold":
            blind: Mask = available.sum(1) == 0
            self._hold(latents[:count], blind[:count], envs[:count])
            self._holds[started] = False
            self._hold(latents[count:], blind[count:], envs[count:])
        parts = [latents, self._readings.appended(rows)]
        if self.append_mask:
            parts.append(told[:, self._readings.told].astype(np.float32))
        latents = np.concatenate(parts, 1)
        return latents[count:], dict(zip(final, latents[:count], strict=True))

    def _infer(self, rows: Observation, available: Mask, envs: NDArray[Any]) -> Latents:
        # Copies, for torch refuses arrays that are read-only or reversed.
        batch = {
            name: torch.from_numpy(np.array(rows[name], order="C"))
            for name in self._readings.encoded
        }
        with _one_thread_in_workers(), self._evaluating(), torch.inference_mode():
            there = torch.from_numpy(available)
            if self.latent == "mean":
                code: Latents = self.model.encode(batch, there).float().cpu().numpy()
                return code
            posterior = self.model.posterior(batch, there)
            mean: Latents = posterior.mean.float().cpu().numpy()
            scale: Latents = posterior.stddev.float().cpu().numpy()
        if self.latent == "mean_logvar":
            return np.concatenate([mean, 2 * np.log(scale)], 1)
        draws = [self._noise[env].standard_normal(mean.shape[1]) for env in envs]
        drawn: Latents = mean + scale * np.array(draws, np.float32)
        return drawn

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Inside, every module is in eval mode; afterwards each is as it was."""
        training = [module for module in self._modules if module.training]
        for module in training:
            module.training = False
        try:
            yield
        finally:
            for module in training:
                module.training = True

    def _hold(self, latents: Latents, blind: Mask, envs: NDArray[Any]) -> None:
        """Fill the blind rows with what is held, and hold the others, in place."""
        known = blind & self._holds[envs]
        latents[known] = self._held[envs[known]]
        seen = envs[~blind]
        self._held[seen] = latents[~blind]
        self._holds[seen] = True


def _take(model: str | Path | MultimodalVAE, device: str | None) -> MultimodalVAE:
    if isinstance(model, MultimodalVAE):
        if device is not None:
            raise UserError("device is for models from a folder; move yours with .to()")
        return model
    if not isinstance(model, str | PathLike):
        raise UserError(f"expected a model or the folder of one, got {model!r}")
    with _one_thread_in_workers():
        loaded = load_model(model, device=str(resolve_device(device or "cpu")))
    return loaded.requires_grad_(False)


@contextmanager
def _one_thread_in_workers() -> Iterator[None]:
    """Inside, torch uses one thread if multiprocessing started this process.

    There is about one such process a core; and a forked one waits for ever for the
    threads that its parent had.
    """
    if parent_process() is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
