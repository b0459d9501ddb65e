"""Gymnasium environments whose observations come from several sensors.

Importing this package registers ``nexus_rl/MultimodalPendulum-v0``,
``nexus_rl/MultimodalPendulumPublished-v0``, ``nexus_rl/MultimodalPendulum4-v0``,
``nexus_rl/HyperHot-v0`` and ``nexus_rl/DigitDial-v0``; ``gym.make("envs:<id>")``
imports it by itself.
"""

from gymnasium.envs.registration import register

from envs.digit_dial import DigitDial
from envs.hyperhot import HyperHot
from envs.pendulum import MultimodalPendulum
from envs.pendulum4 import MultimodalPendulum4

__all__ = ["DigitDial", "HyperHot", "MultimodalPendulum", "MultimodalPendulum4"]

register(
    id="nexus_rl/MultimodalPendulum-v0",
    entry_point="envs.pendulum:MultimodalPendulum",
    max_episode_steps=200,
)
register(
    id="nexus_rl/MultimodalPendulumPublished-v0",
    entry_point="envs.pendulum:MultimodalPendulum",
    max_episode_steps=300,
    kwargs={"published": True},
)
register(
    id="nexus_rl/MultimodalPendulum4-v0",
    entry_point="envs.pendulum4:MultimodalPendulum4",
    max_episode_steps=200,
)
register(id="nexus_rl/HyperHot-v0", entry_point="envs.hyperhot:HyperHot")
register(
    id="nexus_rl/DigitDial-v0",
    entry_point="envs.digit_dial:DigitDial",
    max_episode_steps=100,
)
