"""Train an agent that sees an environment through a frozen encoder, or by itself.

    python scripts/train_agent.py --encoder runs/multimodal_pendulum
    python scripts/train_agent.py --encoder runs/hyper_hot --algo dqn \\
        --env nexus_rl/HyperHot-v0
    python scripts/train_agent.py --sees raw --mask --sensor-dropout episode:0.3
    python scripts/train_agent.py --sees state --algo sac --params gamma=0.98
    python scripts/train_agent.py --env nexus_rl/DigitDial-v0 --encoder runs/digits \\
        --append position --absent label --reliable position
    python scripts/train_agent.py --resume runs/agent --steps 200000
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from agents.config import AgentConfig
from agents.perception import Perception, Task
from nexus_rl import cli
from nexus_rl.errors import UserError

# What may be asked of a run that is continued.
RESUMABLE = ("resume", "steps", "device", "threads")

Params = Annotated[
    dict[str, Any],
    tyro.constructors.PrimitiveConstructorSpec(
        nargs="*",
        metavar="NAME=VALUE",
        instance_from_str=cli.read_kwargs,
        is_instance=lambda value: isinstance(value, dict),
        str_from_instance=cli.show_kwargs,
    ),
]


@dataclass(frozen=True)
class Args:
    """What the agent sees, what it learns with, and where it is kept."""

    env: str = "nexus_rl/MultimodalPendulum-v0"
    """Gymnasium id of the environment."""
    env_kwargs: cli.EnvKwargs = field(default_factory=dict)
    """Arguments of the environment, such as enemies=2 shaped_reward=true."""
    sees: Literal["latent", "raw", "state"] = "latent"
    """The encoder's z_sigma, the sensors themselves, or the true state."""
    encoder: str | None = None
    """Folder of the model that encodes, as pretrain_nexus.py writes; for latents."""
    sensors: tuple[str, ...] = ()
    """The sensors the agent sees; all of them if not given. For raw."""
    fill: Literal["zero", "hold"] = "zero"
    """What stands for a missing sensor: zeros or its last reading. For raw."""
    mask: bool = False
    """Tell the agent which sensors are there."""
    append: tuple[str, ...] = ()
    """Sensors that follow the latent as they are; the encoder need not know them."""
    absent: tuple[str, ...] = ()
    """Modalities of the encoder that the environment never shows."""
    reliable: tuple[str, ...] = ()
    """Sensors that never fail, in training or evaluation, whatever the agent sees."""
    ignore: tuple[str, ...] = ()
    """Entries of the observation that nobody needs, such as texts."""
    sensor_dropout: str = "none"
    """How sensors fail in training: bernoulli:0.3 (each step), episode:0.3 (for whole
    episodes), markov:0.05,0.2 (fail, recover), or several joined by +."""
    algo: str = "ppo"
    """ppo, sac, dqn, or recurrent_ppo, an agent with a memory; the last needs
    sb3-contrib, pip install nexus_rl[contrib]."""
    preset: str = ""
    """Hyper-parameters: pendulum, hyperhot, digit_dial or default; those of the
    environment if not given."""
    params: Params = field(default_factory=dict)
    """Changes to them, arguments of the algorithm's class and n_envs, such as
    learning_rate=3e-4 n_steps=512; lin_3e-4 falls linearly to 0."""
    steps: int = 100_000
    """Steps of all environments together."""
    seed: int = 0
    """Seeds the environments, the outages and the networks."""
    evaluate_every: int = 20_000
    """Steps between evaluations; 0: never."""
    evaluate_episodes: int = 5
    """Episodes of each condition of an evaluation."""
    conditions: tuple[str, ...] = ()
    """Conditions of evaluation, by name or group; everything and each sensor missing
    if not given."""
    checkpoint_every: int = 20_000
    """Steps between checkpoints; 0: only at the end."""
    out: Path = Path("runs/agent")
    """Folder of the agent."""
    overwrite: bool = False
    """Replace the agent that --out holds."""
    resume: Path | None = None
    """Folder of an agent to go on training; --steps may be raised. Policy, optimiser,
    replay buffer and schedules continue exactly from the last checkpoint; episodes
    begin anew, with other random numbers than without the interruption. Unpickles what
    is in its training/: resume only what you trust."""
    device: str = "cpu"
    """Where networks and encoder run: auto, cpu, cuda or cuda:N. Small ones learn
    fastest on the CPU."""
    threads: int = 1
    """CPU threads of torch; more are slower on networks this small."""

    @property
    def config(self) -> AgentConfig:
        names = ("encoder", "sensors", "fill", "mask", "append", "absent")
        seen = Perception(self.sees, **{name: getattr(self, name) for name in names})
        return AgentConfig(
            task=Task(self.env, self.env_kwargs, seen, self.reliable, self.ignore),
            algo=self.algo,
            preset=self.preset,
            params=self.params,
            sensor_dropout=self.sensor_dropout,
            steps=self.steps,
            seed=self.seed,
            evaluate_every=self.evaluate_every,
            evaluate_episodes=self.evaluate_episodes,
            conditions=self.conditions,
            checkpoint_every=self.checkpoint_every,
        )


def main() -> int:
    args = tyro.cli(Args, description=__doc__)
    if args.resume is None and args.sees == "latent" and args.encoder is None:
        raise UserError(
            "name the encoder, --encoder FOLDER (pretrain_nexus.py trains one), or let "
            "the agent see the sensors themselves, --sees raw, or --sees state"
        )
    config = args.config if args.resume is None else None
    check_resume(args, sys.argv[1:])
    print("loading torch ...", flush=True)
    # After parsing, so that --help and mistakes answer at once.
    from agents.training import resume_agent, train_agent

    cli.use_threads(args.threads)
    if config is not None:
        done = train_agent(
            config,
            args.out,
            overwrite=args.overwrite,
            progress=True,
            device=args.device,
        )
    else:
        assert args.resume is not None
        steps = args.steps if "steps" in cli.given(["steps"], sys.argv[1:]) else None
        done = resume_agent(args.resume, steps=steps, progress=True, device=args.device)
    if done.interrupted:
        print(
            f"interrupted and saved after {done.steps} steps; go on with: python "
            f"{sys.argv[0]} --resume {done.folder}"
        )
        return 130
    print(f"{done.steps} steps in {done.seconds:.0f} s\nagent: {done.folder}")
    return 0


def check_resume(args: Args, argv: list[str]) -> None:
    """Raises ``UserError`` for options that a continued run may not change."""
    if args.resume is None:
        return
    given = {a.partition("=")[0][2:].replace("-", "_") for a in argv if a[:2] == "--"}
    if changed := sorted(given - {*RESUMABLE}):
        options = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
        raise UserError(
            f"--resume goes on as the agent was started: leave out {options}"
        )
    if args.steps < 1:
        raise UserError(f"steps must be at least 1, got {args.steps}")


if __name__ == "__main__":
    cli.run(main)
