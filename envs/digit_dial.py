"""A dial to be turned to the digit that is seen, traced and heard."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray

from envs.digit_data import CLASSES, load_recordings
from envs.digit_scene import RATE, STEP, DialScene
from envs.rendering import Observation, RenderedEnv, render_metadata

Array = NDArray[Any]


def distance(target: ArrayLike, position: ArrayLike) -> Array:
    """Positions (...) from ``position`` to ``target`` the shorter way round, 0 to 5."""
    gap: Array = np.subtract(target, position) % CLASSES
    shorter: Array = np.minimum(gap, CLASSES - gap)
    return shorter


def state_features(target: ArrayLike, position: ArrayLike) -> NDArray[np.float32]:
    """True state: (..., 4) float32, cos and sin of the target, then of the position."""
    angles = 2 * np.pi / CLASSES * np.stack(np.broadcast_arrays(target, position), -1)
    both = np.stack([np.cos(angles), np.sin(angles)], axis=-1, dtype=np.float32)
    return both.reshape(*both.shape[:-2], 4)


def sample_states(n: int, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    """Draw ``n`` arguments of ``observe``: target, position and chance, each (n,).

    All are uniform. Raises ``ValueError`` for a negative ``n``.
    """
    if n < 0:
        raise ValueError(f"n must not be negative, got {n}")
    target, position = rng.integers(CLASSES, size=(2, n))
    return target, position, rng.random(n)


class DigitDial(RenderedEnv[np.int64]):
    """Turn a dial to the digit that camera, pen and microphone show.

    ## Description
    A pointer on a dial with the positions 0 to 9. The sensors show a hidden digit, the
    target, which changes now and then. In every step they show a recording of it, drawn
    anew: of any hand and voice of the split. No sensor gives the label, but each shows
    the digit, so any of them may fail. The position is told by a sensor of its own.

    ## Action Space
    ``Discrete(3)``: 0 turns one position to the left (3 to 2, 0 to 9), 1 stays, 2 turns
    right.

    ## Observation Space
    A ``Dict`` with the sensors of the data: MHD has "image", "trajectory" and "sound",
    MNIST and FashionMNIST have "image" alone. What is shown together is one row of the
    data set.

    - "image": ``Box(0, 255, (1, 28, 28), uint8)``.
    - "trajectory": ``Box(0, 1, (200,), float32)``, the pen's 100 x, then 100 y (down).
    - "sound": ``Box(0, 255, (1, 32, 128), uint8)``, the log-mel spectrogram of a spoken
      second: time, then band.
    - "position": ``Box(-1, 1, (2,), float32)``, cos and sin of the pointer's angle.

    ``info`` has "target" and "position", integers, and "state", (4,) float32, named by
    ``state_names``.

    ## Rewards
    1 - 0.4 d, with d the positions from pointer to target after the turn, 0 to 5 the
    shorter way round; in [-1, 1]. The target is the one that the agent was shown when
    it chose. Random turns get 0 on average. Turning to a target d away and waiting
    there costs 0.2 d (d - 1), so with ``regular`` and ``hold`` of at least 5 an agent
    that knows the target gets 1 - 4 / (3 hold) a step.

    ## Starting State
    Target and position are uniform. Targets and recordings depend on the seed alone,
    not on what is done.

    ## Episode End
    Never terminates; truncated after 100 steps.

    ## Arguments
    - ``data``: "mhd", "mnist" or "fashion_mnist" (whose "digits" are clothes).
    - ``split``: "train" or "test", the recordings that are shown; never both.
    - ``folder``: where the data are, in it or in its sub-folder named like them; by
      default ``$NEXUS_RL_DATA/<data>``, else ``data/mhd`` here (or
      ``/usr/share/datasets/fashion-mnist``), else the user's cache. MHD is built once,
      by ``scripts/build_mhd.py``.
    - ``hold``: how many steps a target stays, on average: after each step it changes to
      another one with probability 1 / hold.
    - ``regular``: a target stays exactly ``hold`` steps.
    - ``show_target``: pictures mark the target; without it people must read the
      sensors as well.
    - ``render_mode``: None, "rgb_array" or "human".

    ## Example
    >>> import gymnasium as gym
    >>> env = gym.make("envs:nexus_rl/DigitDial-v0", data="mnist", split="test")
    >>> observation, info = env.reset(seed=0)
    >>> {name: sensor.shape for name, sensor in observation.items()}
    {'image': (1, 28, 28), 'position': (2,)}

    A data set needs no episodes:

    >>> states = env.unwrapped.sample_states(100, env.np_random)
    >>> env.unwrapped.observe(*states)["image"].shape
    (100, 1, 28, 28)
    >>> env.close()
    """

    metadata = render_metadata(round(1 / STEP))
    audio_rate = RATE
    state_names = ("target cos", "target sin", "position cos", "position sin")
    sample_states = staticmethod(sample_states)
    state_features = staticmethod(state_features)

    def __init__(
        self,
        data: str = "mhd",
        split: str = "train",
        folder: str | None = None,
        hold: int = 20,
        regular: bool = False,
        show_target: bool = True,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        if isinstance(hold, bool) or not isinstance(hold, int | np.integer) or hold < 1:
            raise ValueError(f"hold must be an integer of at least 1, got {hold!r}")
        for name, value in {"regular": regular, "show_target": show_target}.items():
            if not isinstance(value, bool):
                raise ValueError(f"{name} must be true or false, got {value!r}")
        self.recordings = load_recordings(data, split, folder)
        self.hold = int(hold)
        self.regular = regular
        self.show_target = show_target
        self.target, self.position, self._steps = 0, 0, 0
        self._scene = DialScene()
        self._seen: Observation = {}
        self.action_space = spaces.Discrete(3)
        sensors = {name: _box(array) for name, array in self.recordings.arrays.items()}
        pointer = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.observation_space = spaces.Dict({**sensors, "position": pointer})

    @property
    def sensor_formats(self) -> dict[str, str]:
        """How readings are made, by sensor: what the spaces do not tell."""
        return {**self.recordings.formats, "position": "cos and sin"}

    def observe(
        self, target: ArrayLike, position: ArrayLike, chance: ArrayLike
    ) -> dict[str, Array]:
        """What is observed in a state, or in an array of states.

        ``target`` and ``position`` (0 to 9) and ``chance`` (in [0, 1), which chooses
        among the target's recordings) broadcast to one shape (...). Returns each sensor
        as (..., *shape). Raises ``ValueError`` for numbers outside of these ranges.
        """
        target, position, chance = np.broadcast_arrays(target, position, chance)
        _check_digits("target", target)
        _check_digits("position", position)
        if not np.all((chance >= 0) & (chance < 1)):
            raise ValueError("chance must lie in [0, 1)")
        readings = self.recordings.show(self.recordings.rows(target, chance))
        readings["position"] = state_features(target, position)[..., 2:].copy()
        return readings

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Draw target and position.

        ``options={"state": (target, position)}`` starts there instead. Raises
        ``ValueError`` for a state that is not two integers from 0 to 9.
        """
        super().reset(seed=seed)
        state = self.np_random.integers(CLASSES, size=2)
        if options and "state" in options:
            state = np.asarray(options["state"])
            if state.shape != (2,):
                raise ValueError(
                    f"state must be (target, position), got {options['state']!r}"
                )
            _check_digits("target", state[:1])
            _check_digits("position", state[1:])
        self.target, self.position = (int(number) for number in state)
        self._steps = 0
        self._sense()
        return dict(self._seen), self._info()

    def step(
        self, action: np.int64 | int
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Turn, and see the next recording. Raises ``ValueError`` for other actions."""
        if not self.action_space.contains(action):
            raise ValueError(f"action must be 0, 1 or 2, got {action!r}")
        self.position = (self.position + int(action) - 1) % CLASSES
        reward = 1.0 - 0.4 * float(distance(self.target, self.position))
        self._steps += 1
        if self._target_changes():
            self.target = int(self.target + self.np_random.integers(1, CLASSES))
            self.target %= CLASSES
        self._sense()
        return dict(self._seen), reward, False, False, self._info()

    def picture(self) -> NDArray[np.uint8]:
        """The dial, and what the sensors show: (480, 720, 3) uint8."""
        target = self.target if self.show_target else None
        return self._scene.picture(self.position, target, self._seen)

    def audio(self) -> NDArray[np.float64]:
        """The word that is heard, in half the time: (samples, 2) in [-1, 1]."""
        return self._scene.audio(self._seen)

    def _target_changes(self) -> bool:
        if self.regular:
            return self._steps % self.hold == 0
        return bool(self.np_random.random() < 1 / self.hold)

    def _sense(self) -> None:
        chance = self.np_random.random()
        self._seen = self.observe(self.target, self.position, chance)
        self.show_human()

    def _info(self) -> dict[str, Any]:
        return {
            "target": self.target,
            "position": self.position,
            "state": state_features(self.target, self.position),
        }


def _box(array: Array) -> spaces.Box:
    """The space of a row: uint8 from 0 to 255, or floats from 0 to 1."""
    if array.dtype == np.uint8:
        return spaces.Box(0, 255, array.shape[1:], np.uint8)
    return spaces.Box(0.0, 1.0, array.shape[1:], np.float32)


def _check_digits(name: str, numbers: Array) -> None:
    whole = np.issubdtype(numbers.dtype, np.integer)
    if not (whole and np.all((numbers >= 0) & (numbers < CLASSES))):
        raise ValueError(f"{name} must be integers from 0 to 9, got {numbers!r}")
