"""An environment whose sensors fail on their own, and small models for it."""

from typing import ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from nexus_rl import make_model
from nexus_rl.draws import seeded
from nexus_rl.spaces import modalities_from_space

PENDULUM = "envs:nexus_rl/MultimodalPendulum-v0"
SENSORS = ("sound", "image", "label")


class Flaky(gym.Env):
    """Three sensors, any of which may be missing; episodes of 2 to 5 steps.

    Behind a missing sensor there is NaN, noise or a class that does not exist.
    """

    action_space = spaces.Box(-1, 1, (1,))
    mask_columns: ClassVar = {"sound": 0, "image": 1, "label": 2}
    observation_space = spaces.Dict(
        [
            ("sound", spaces.Box(-2, 2, (3,))),
            ("image", spaces.Box(0, 255, (1, 4, 4), np.uint8)),
            ("label", spaces.Discrete(4)),
            ("available", spaces.Box(0, 1, (3,))),
        ]
    )

    def __init__(self, blind=0.3):
        self.blind = blind

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(2, 6))
        return self.sense(), {}

    def step(self, action):
        self.left -= 1
        return self.sense(), 1.0, self.left == 0, False, {}

    def sense(self):
        rng = self.np_random
        there = rng.random(3) > 0.4
        there &= rng.random() > self.blind
        sound = rng.uniform(-2, 2, 3).astype(np.float32)
        return {
            "sound": sound if there[0] else np.full(3, np.nan, np.float32),
            "image": rng.integers(0, 256, (1, 4, 4), dtype=np.uint8),
            "label": int(rng.integers(4)) if there[2] else 99,
            "available": there.astype(np.float32),
        }


gym.register("nexus_rl_tests/Flaky-v0", lambda **options: Flaky(**options))


def model_for(space, **options):
    """A tiny model, its modalities not in the order of the space, as if trained."""
    modalities = sorted(modalities_from_space(space), key=lambda m: m.name)
    options = {"name": "nexus", "width": 16, "latent_dim": 4} | options
    model = make_model(modalities=modalities, **options)
    noise = seeded(3)
    for name, statistic in model.named_buffers():
        if name.endswith("running_mean"):
            statistic.normal_(0, 0.1, generator=noise)
        elif name.endswith("running_var"):
            statistic.uniform_(0.5, 1.5, generator=noise)
    return model.eval()


def pendulum(**options):
    """A pendulum with small pictures."""
    return gym.make(PENDULUM, image_size=16, **options)


def states(model):
    """A copy of all weights and statistics."""
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same_states(first, second):
    """Whether two models' weights and statistics are equal to the last bit."""
    return first.keys() == second.keys() and all(
        torch.equal(tensor, second[name]) for name, tensor in first.items()
    )


def expected(model, observation):
    """What the model itself makes of one observation, sensor by sensor.

    A missing sensor is left out, so that nothing can be read of it.
    """
    sensors = [name for name in observation if name != "available"]
    mask = observation.get("available", np.ones(len(sensors)))
    batch = {
        name: torch.as_tensor(np.array(observation[name]))[None]
        for name, there in zip(sensors, mask, strict=True)
        if there
    }
    if not batch:
        return None
    with torch.no_grad():
        return model.encode(batch)[0].numpy()


def run(env, seed, steps=30):
    """Latents of seeded steps, episode after episode, and where episodes end."""
    latents, ends = [env.reset(seed=seed)[0]], []
    for _ in range(steps):
        latent, _, terminated, truncated, _ = env.step(np.zeros(1, np.float32))
        latents.append(latent)
        ends.append(terminated or truncated)
        if ends[-1]:
            latents.append(env.reset()[0])
    return latents, ends
