"""HyperHot: shoot down what you see and hear before it shoots you."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs import hyperhot_sensors as sensors
from envs.hyperhot_rules import ENEMY_STARTS, FPS, Game, Outcome
from envs.rendering import Observation, RenderedEnv, render_metadata

SoundKind = Literal["bands", "waveform"]
SOUND_SIZES = {"bands": 16, "waveform": 4 * sensors.FRAME_SAMPLES}
REWARDS: dict[Outcome, float] = {"playing": 0, "won": 10, "hit": -1, "time_up": -1}


class HyperHot(RenderedEnv[np.int64]):
    """Shoot the enemies above while dodging their bullets, by eye and by ear.

    ## Description
    The top-down shooter of MUSE (Vasco et al.) on a screen of 160 x 210 pixels. A row
    of enemies moves from side to side at 1 px a frame and turns 5 px from the edges.
    Every 6 frames one of those without a bullet in flight, drawn at random, fires one
    downward at 6 px a frame. The ship moves at 5 px a frame, blocked where its left
    edge is below 10 or above 130, and has at most one bullet in flight. Sprites collide
    when the circles around them touch; bullets that meet destroy each other. One hit
    ends the game.

    In the image all sprites look alike but for shape and motion; by ear they differ:
    enemies sound do and mi, their bullets sol, the player's la sharp. Four receivers,
    in the bottom corners and at the ends of the ship, hear a source at d pixels with
    amplitude exp(-0.025 d).

    ## Action Space
    ``Discrete(6)``: 0 nothing, 1 left, 2 right, 3 shoot, 4 shoot and left, 5 shoot and
    right. 0 stops the ship; 3 leaves its velocity as it was.

    ## Observation Space
    A ``Dict`` of two sensors, each with the previous frame, then the present one:

    - "image": ``Box(0, 255, (2, 80, 80), uint8)``, 255 where there is a sprite.
    - "sound": with ``sound="bands"`` ``Box(0, 1, (32,), float32)``, frames x notes x
      receivers, the logarithmic level of each note; with ``sound="waveform"``
      ``Box(0, 1, (8376,), float32)``, frames x receivers x 1047 samples, of which 0.5
      is silence. All square waves follow one clock, so the levels are all that a
      waveform tells.

    ``info`` has "enemies" (how many live), "outcome" ("playing", "won", "hit" or
    "time_up"), and "state" (float64, named by ``state_names``), what a player must
    know:

    - "ship", "row": x of the ship and mean x of the living enemies, -1 to 1 across the
      screen; "direction" of the row, -1 or 1. Both are 0 when no enemy is left.
    - "dx", "dy": from the ship to the enemy bullet that is next to reach its height, in
      half screen widths to the right and in heights between row and ship. Without such
      a bullet they are 0 and 1, as if one stood over the ship, as far as can be.

    ## Rewards
    +10 for a win, -1 for being hit, -1 when time is up, else 0. ``shaped_reward`` adds
    1 for each enemy shot.

    ## Starting State
    The ship's centre is uniform in 10..130 and the enemies' direction random. The first
    frame stands for the one before it.

    ## Episode End
    Terminates when time is up, when the ship is hit, or one step after the last enemy
    was shot; the first of these that holds, in this order, decides. Never truncates.

    ## Arguments
    - ``enemies``: 1 to 4.
    - ``time_limit``: seconds of 30 frames; 15 are 450 frames.
    - ``sound``: "bands" or "waveform".
    - ``shaped_reward``: reward each enemy shot.
    - ``pacifist``: enemies never fire.
    - ``render_mode``: None, "rgb_array" or "human".

    ## Example
    >>> import gymnasium as gym
    >>> env = gym.make("envs:nexus_rl/HyperHot-v0", enemies=2)
    >>> observation, info = env.reset(seed=0)
    >>> {name: sensor.shape for name, sensor in observation.items()}
    {'image': (2, 80, 80), 'sound': (32,)}
    >>> info["enemies"], info["outcome"]
    (2, 'playing')
    >>> env.close()
    """

    metadata = render_metadata(FPS)
    state_names = ("ship", "row", "direction", "dx", "dy")  # of info["state"]
    audio_rate = sensors.SAMPLE_RATE

    def __init__(
        self,
        enemies: int = 4,
        time_limit: float = 15.0,
        sound: SoundKind = "bands",
        shaped_reward: bool = False,
        pacifist: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(render_mode)
        if enemies not in ENEMY_STARTS:
            raise ValueError(f"enemies must be 1, 2, 3 or 4, got {enemies!r}")
        if not 1 <= time_limit * FPS < float("inf"):
            raise ValueError(
                f"time_limit must be seconds, at least one frame of 1/{FPS} s, "
                f"got {time_limit!r}"
            )
        if sound not in SOUND_SIZES:
            raise ValueError(f'sound must be "bands" or "waveform", got {sound!r}')
        self.enemies = enemies
        self.time_limit = time_limit
        self.sound = sound
        self.shaped_reward = shaped_reward
        self.pacifist = pacifist
        self.action_space = spaces.Discrete(6)
        self.observation_space = spaces.Dict(
            {
                "image": spaces.Box(0, 255, (2, 80, 80), np.uint8),
                "sound": spaces.Box(0.0, 1.0, (2 * SOUND_SIZES[sound],), np.float32),
            }
        )

    @property
    def sensor_formats(self) -> dict[str, str]:
        """How readings are made, by sensor: what the spaces do not tell."""
        heard = "logarithmic levels" if self.sound == "bands" else "samples"
        return {"image": "2 frames, 255 on sprites", "sound": f"2 frames, {heard}"}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Start a new game. ``options`` has no effect."""
        super().reset(seed=seed)
        frames = round(self.time_limit * FPS)
        self.game = Game(self.enemies, frames, self.pacifist, self.np_random)
        self._last_image, self._last_sound = sensors.draw(self.game), self._listen()
        observation = self._sense()
        self.show_human()
        return observation, self._info("playing")

    def step(
        self, action: np.int64 | int
    ) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Play one frame of 1/30 s. Raises ``ValueError`` for an unknown action."""
        if not self.action_space.contains(action):
            raise ValueError(f"action must be an integer from 0 to 5, got {action!r}")
        living = len(self.game.enemies)
        outcome = self.game.step(int(action))
        reward = float(REWARDS[outcome])
        if self.shaped_reward:
            reward += living - len(self.game.enemies)
        observation = self._sense()
        self.show_human()
        return observation, reward, outcome != "playing", False, self._info(outcome)

    def picture(self) -> NDArray[np.uint8]:
        """The screen in colour: (630, 480, 3) uint8."""
        return sensors.picture(self.game)

    def audio(self) -> NDArray[np.float64]:
        """The mix of one frame: (1047, 2) in [-1, 1], left and right receivers."""
        heard = sensors.mix(sensors.amplitudes(self.game), self.game.frame)
        left, right = heard[0::2], heard[1::2]
        return np.stack([left.mean(axis=0), right.mean(axis=0)], axis=1)

    def _sense(self) -> Observation:
        image, heard = sensors.draw(self.game), self._listen()
        observation = {
            "image": np.stack([self._last_image, image]),
            "sound": np.concatenate([self._last_sound, heard]),
        }
        self._last_image, self._last_sound = image, heard
        return observation

    def _listen(self) -> NDArray[np.float32]:
        amplitude = sensors.amplitudes(self.game)
        if self.sound == "bands":
            return sensors.bands(amplitude)
        return sensors.waveform(amplitude, self.game.frame)

    def _info(self, outcome: Outcome) -> dict[str, Any]:
        return {
            "enemies": len(self.game.enemies),
            "outcome": outcome,
            "state": self.game.state(),
        }
