"""Which agents an experiment compares: what each sees, and how it is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from agents.config import AgentConfig
from agents.perception import Perception, Task

DROPOUT = "episode:0.3+markov:0.05,0.2"  # how sensors fail in training, if they do


@dataclass(frozen=True)
class Encoder:
    """A model whose latents agents see: its name, and changes to the preset.

    It does not learn from the modalities ``without``.
    """

    model: str = "nexus"
    options: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()


ENCODERS = {
    "nexus": Encoder(),
    "nexus_unlabelled": Encoder(without=("label",)),
    "nexus_fpd": Encoder(options={"align": 0.0}),
    "nexus_align": Encoder(options={"rho": 0.0}),
    "nexus_plain": Encoder(options={"align": 0.0, "rho": 0.0}),
    "mvae": Encoder("mvae"),
    "mmvae": Encoder("mmvae"),
    "vae": Encoder("vae"),
    "muse": Encoder("muse"),
    "gmc": Encoder("gmc"),
}


LATENT = Perception()
RAW, MASKED = Perception("raw"), Perception("raw", mask=True)


@dataclass(frozen=True)
class AgentRow:
    """One way to perceive and to train.

    ``encoder`` names one of ``ENCODERS``; ``like`` is the row whose policy this one
    evaluates with a perception of its own, instead of training another. It learns for
    ``times`` as many steps as others; ``params`` are changes to the preset.
    """

    title: str
    perception: Perception = LATENT
    encoder: str = ""
    sensor_dropout: str = "none"
    algo: str = "ppo"
    seeds: int = 3
    like: str = ""
    times: int = 1
    params: Mapping[str, Any] = field(default_factory=dict)


ORACLE = {"oracle": AgentRow("true state", Perception("state"), seeds=5)}
PRINCIPAL = {
    "raw": AgentRow("raw, zeros for missing", RAW, seeds=5),
    "raw_dropout": AgentRow(
        "raw, trained under dropout", MASKED, sensor_dropout=DROPOUT, seeds=5
    ),
    "nexus": AgentRow("Nexus", encoder="nexus", seeds=5),
    "nexus_dropout": AgentRow(
        "Nexus, trained under dropout",
        Perception(mask=True),
        encoder="nexus",
        sensor_dropout=DROPOUT,
    ),
}
CORE = {
    **ORACLE,
    **PRINCIPAL,
    # It is still learning where others are done.
    "raw_dropout_long": AgentRow(
        "raw, trained under dropout for three times the steps",
        MASKED,
        sensor_dropout=DROPOUT,
        times=3,
    ),
}
OTHERS = {
    "raw_mask": AgentRow("raw, told what is missing", MASKED),
    "raw_hold": AgentRow(
        "raw, last reading for missing", Perception("raw", fill="hold"), like="raw"
    ),
    "raw_nature": AgentRow(
        "raw, networks of Stable-Baselines3",
        RAW,
        params={
            "policy_kwargs": {
                "net_arch": [64, 64],
                "features_extractor_class": "combined",
            }
        },
        seeds=1,
    ),
    "nexus_fpd": AgentRow("Nexus, without alignment", encoder="nexus_fpd"),
    "nexus_align": AgentRow("Nexus, without FPD", encoder="nexus_align"),
    "nexus_plain": AgentRow("Nexus, without FPD and alignment", encoder="nexus_plain"),
    "mvae": AgentRow("MVAE", encoder="mvae"),
    "mmvae": AgentRow("MMVAE", encoder="mmvae"),
    "vae": AgentRow("multimodal VAE", encoder="vae"),
    "muse": AgentRow("MUSE", encoder="muse"),
    "gmc": AgentRow("GMC", encoder="gmc"),
}
SAC = {
    "sac_oracle": AgentRow("true state, SAC", Perception("state"), algo="sac"),
    "sac_nexus": AgentRow("Nexus, SAC", encoder="nexus", algo="sac"),
    "sac_mvae": AgentRow("MVAE, SAC", encoder="mvae", algo="sac"),
}


def _single(*sensors: str) -> dict[str, AgentRow]:
    """Agents of one sensor alone."""
    return {
        f"raw_{name}": AgentRow(
            f"raw, {name} alone", Perception("raw", sensors=(name,))
        )
        for name in sensors
    }


@dataclass(frozen=True)
class Experiment:
    """Agents in an environment, trained for as many ``steps`` unless a row says more.

    ``test_kwargs`` changes the environment's arguments where agents are measured.
    ``reliable`` sensors never fail; what sees latents sees those of ``append`` besides,
    through encoders that know the modalities ``absent`` from the environment.

    Encoders learn from ``encoder_rows`` simulated observations or, where the
    environment shows recordings of a ``dataset``, from that.
    """

    env: str
    rows: Mapping[str, AgentRow]
    steps: int = 100_000
    sac_steps: int = 20_000
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    encoder_rows: int = 20_000
    encoder_preset: str = ""
    test_kwargs: Mapping[str, Any] = field(default_factory=dict)
    reliable: tuple[str, ...] = ()
    append: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    @property
    def dataset(self) -> str | None:
        """The data set whose recordings the environment shows, if it says so."""
        return self.env_kwargs.get("data")

    def task(self, perception: Perception) -> Task:
        """Where agents learn."""
        return Task(self.env, self.env_kwargs, perception, self.reliable)

    def steps_of(self, entry: AgentRow) -> int:
        """For how many steps a row learns."""
        return entry.times * (self.sac_steps if entry.algo == "sac" else self.steps)

    def config(self, row: str, seed: int, encoder: str | None) -> AgentConfig:
        """How ``row`` is trained with ``seed``, on latents of ``encoder`` if any."""
        entry = self.rows[row]
        perception = entry.perception
        if encoder is not None:
            without = ENCODERS[entry.encoder].without
            absent = tuple(name for name in self.absent if name not in without)
            perception = replace(
                perception, encoder=encoder, append=self.append, absent=absent
            )
        return AgentConfig(
            self.task(perception),
            entry.algo,
            sensor_dropout=entry.sensor_dropout,
            params=entry.params,
            steps=self.steps_of(entry),
            seed=seed,
            evaluate_episodes=10,
            evaluate_every=10_000,
            conditions=("everything",),
            checkpoint_every=0,
        )


EXPERIMENTS = {
    "pendulum": Experiment(
        "nexus_rl/MultimodalPendulum-v0",
        {**CORE, **_single("image", "sound"), **OTHERS, **SAC},
    ),
    "pendulum4": Experiment(
        "nexus_rl/MultimodalPendulum4-v0",
        {**CORE, **_single("image", "sound", "gyro", "torque")},
    ),
    "hyperhot": Experiment(
        "nexus_rl/HyperHot-v0",
        {
            **CORE,
            **_single("image", "sound"),
            "dqn_oracle": AgentRow("true state, DQN", Perception("state"), algo="dqn"),
        },
        steps=300_000,
        # Of four enemies PPO on the true state, too, loses half of its games.
        env_kwargs={"enemies": 2, "shaped_reward": True},
    ),
    "digitdial": Experiment(
        "nexus_rl/DigitDial-v0",
        {
            **{name: replace(row, seeds=3) for name, row in CORE.items()},
            # The other encoders learn from labels, which raw agents never see.
            "nexus_unlabelled": AgentRow(
                "Nexus, trained without labels", encoder="nexus_unlabelled"
            ),
            **{name: OTHERS[name] for name in ("mvae", "mmvae")},
        },
        env_kwargs={"data": "mhd", "split": "train"},
        test_kwargs={"split": "test"},
        encoder_preset="digits",
        reliable=("position",),
        append=("position",),
        absent=("label",),
    ),
}
