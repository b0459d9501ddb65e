"""An environment of sensors in any order, and wrappers that put them in another."""

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.wrappers import FilterObservation, TransformObservation

SIZES = {"sound": 3, "image": 4, "touch": 2}
MASK = "available"


class Named(gym.Env):
    """Readings tell step and sensor; episodes of four steps."""

    action_space = spaces.Discrete(2)

    def __init__(self, order=tuple(SIZES), own=(), length=4):
        boxes = [(name, spaces.Box(-1, 1, (SIZES[name],))) for name in order]
        if own:
            boxes.append((MASK, spaces.Box(0, 1, (len(SIZES),))))
        self.observation_space = spaces.Dict(boxes)
        self.own, self.length = own, length

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observe(), {}

    def step(self, action):
        self.t += 1
        return self.observe(), 1.0, self.t >= self.length, False, {}

    def observe(self):
        shown = {
            name: np.full(SIZES[name], self.t / 10 + SIZES[name] / 100, np.float32)
            for name in self.observation_space
            if name != MASK
        }
        if self.own:
            there = [name not in self.own for name in shown]
            shown[MASK] = np.array(there, np.float32)
        return shown


def sort(env):
    """The same in the order of the alphabet, as Dict sorts a mapping."""
    space = spaces.Dict(dict(env.observation_space.spaces))
    return TransformObservation(env, lambda shown: dict(sorted(shown.items())), space)


def turn(env):
    """The same in the opposite order."""
    items = [*env.observation_space.items()][::-1]
    space = spaces.Dict(items)
    return TransformObservation(env, lambda s: {n: s[n] for n, _ in items}, space)


def keep(env):
    """The same, by Gymnasium's own filter, which sorts."""
    return FilterObservation(env, [*env.observation_space])


def rename(env):
    """The sound is called voice."""
    items = [
        ("voice" if name == "sound" else name, box)
        for name, box in env.observation_space.items()
    ]

    def renamed(shown):
        return {("voice" if n == "sound" else n): value for n, value in shown.items()}

    return TransformObservation(env, renamed, spaces.Dict(items))


SORTERS = {"sort": sort, "turn": turn, "keep": keep}
