"""Training an agent in a folder, and going on with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import CallbackList
from stable_baselines3.common.logger import configure
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agents import callbacks
from agents.algorithms import ALGORITHMS, build
from agents.bundle import (
    ENCODER,
    ENCODER_FILES,
    load_encoder,
    read_manifest,
    save_agent,
)
from agents.conditions import EVERYTHING, Condition, training_condition
from agents.config import AgentConfig
from agents.evaluation import task_conditions
from agents.folder import (
    EVALUATIONS,
    MODEL,
    REPLAY,
    check_file,
    check_free,
    clear,
    read_config,
    settle,
    write_aside,
)
from agents.perception import Task, failing_sensors, make_vec_env
from nexus_rl.errors import UserError
from nexus_rl.files import write_json
from nexus_rl.processes import resolve_device, stoppable

if TYPE_CHECKING:
    from nexus_rl.models.core import MultimodalVAE


@dataclass(frozen=True)
class Trained:
    """How training ended: ``steps`` and ``seconds`` of all of it, resumed or not."""

    folder: Path
    steps: int
    seconds: float
    interrupted: bool


def train_agent(
    config: AgentConfig,
    out: str | Path,
    *,
    overwrite: bool = False,
    progress: bool = False,
    device: str = "cpu",
) -> Trained:
    """Trains an agent and keeps it in the folder ``out``, as ``load_agent`` reads it.

    Its networks and its encoder run on ``device``, "auto", "cpu", "cuda" or "cuda:N";
    networks as small as those of the presets are fastest on the CPU.

    Ctrl-C and SIGTERM save and end it. ``training/`` in the folder has the learning
    curve (``log.jsonl``), evaluations under conditions (``evaluations.jsonl``) and
    ``tensorboard/``; seconds of evaluation and of writing files do not count.

    Raises ``UserError`` if the folder is taken (unless ``overwrite``), and where
    environment, perception, algorithm and conditions do not fit together; the folder is
    untouched then.

    Example:
    >>> from agents import AgentConfig, Perception, Task, train_agent
    >>> task = Task("nexus_rl/MultimodalPendulum-v0", perception=Perception("state"))
    >>> train_agent(AgentConfig(task, steps=65_000), "runs/agent").interrupted
    False
    """
    folder, device = Path(out), str(resolve_device(device))
    check_free(folder, overwrite)
    encoder = load_encoder(config.task, device)
    venv = _training_env(config, config.task, encoder)
    try:
        algorithm = build(config, venv, device)
        clock = callbacks.Clock()
        tests = _tests(config, folder, encoder, clock)
        clear(folder)
        write_json(folder / "training" / "run.json", config.to_json())
        if encoder is not None:
            encoder.save_pretrained(folder / ENCODER)
        run = _Run(config, folder, algorithm, venv, tests, clock)
        return run.learn(progress)
    finally:
        venv.close()


def resume_agent(
    folder: str | Path,
    *,
    steps: int | None = None,
    progress: bool = False,
    device: str = "cpu",
) -> Trained:
    """Goes on with the training in ``folder``, up to ``steps`` if they are given.

    Policy, optimiser, number of steps, replay buffer and schedules (of the learning
    rate, exploration) continue exactly from the last checkpoint. Episodes begin anew,
    with other random numbers than those of a run that was never interrupted. More
    ``steps`` than before stretch the schedules. If nothing is missing but the last
    evaluation, that is made.

    Unpickles ``training/model.zip`` and the replay buffer: resume only folders that
    you trust. Raises ``UserError`` if there is no training, if it is ``finished``, and
    for files that cannot be read.
    """
    folder, device = Path(folder), str(resolve_device(device))
    config = read_config(folder)
    if steps is not None:
        config = replace(config, steps=steps)
    task = config.task
    if task.perception.kind == "latent":
        inside = str(folder / ENCODER)
        task = replace(task, perception=replace(task.perception, encoder=inside))
    begun = (folder / "agent.json").exists()
    files = read_manifest(folder)["files"] if begun else {}
    for name in {*files} & {*ENCODER_FILES}:
        check_file(folder, name, files[name])
    encoder = load_encoder(task, device, guarded=begun)
    venv = _training_env(config, task, encoder)
    try:
        algorithm, seconds = load_state(folder, config, venv, device)
        if finished(folder, config):
            raise UserError(
                f"{folder} has finished {algorithm.num_timesteps} steps; ask for more "
                "with --steps"
            )
        clock = callbacks.Clock(seconds)
        tests = _tests(config, folder, encoder, clock)
        write_json(folder / "training" / "run.json", config.to_json())
        notes, done = folder / "training", algorithm.num_timesteps
        callbacks.cut(notes / "log.jsonl", done)
        # Where only the last evaluation is missing, a part of it may be there.
        whole = done - 1 if done >= config.steps else done
        callbacks.cut(notes / EVALUATIONS, whole)
        run = _Run(config, folder, algorithm, venv, tests, clock)
        return run.learn(progress)
    finally:
        venv.close()


def finished(folder: str | Path, config: AgentConfig) -> bool:
    """Whether the agent in ``folder`` has the steps of ``config``, and was evaluated.

    One whose training was killed in its last evaluation was not.
    """
    folder = Path(folder)
    if not (folder / "agent.json").exists():  # killed before its first checkpoint
        return False
    steps = read_manifest(folder)["steps"]
    told = callbacks.read_lines(folder / "training" / EVALUATIONS, resuming=True)
    evaluated = {record["condition"] for record in told if record["steps"] == steps}
    return steps >= config.steps and evaluated >= {*_conditions(config)}


@dataclass
class _Run:
    """What training needs, and what is done with it."""

    config: AgentConfig
    folder: Path
    algorithm: BaseAlgorithm
    venv: VecEnv
    tests: list[callbacks.EvaluateConditions]
    clock: callbacks.Clock

    def learn(self, progress: bool) -> Trained:
        """Trains to the end, or to Ctrl-C, and saves."""
        config, algorithm, notes = self.config, self.algorithm, self.folder / "training"
        left = config.steps - algorithm.num_timesteps  # none: killed in its evaluation
        algorithm.set_logger(configure(str(notes / "tensorboard"), ["tensorboard"]))
        log = notes / "log.jsonl"
        with stoppable() as flag:
            stop = callbacks.Stop(flag)
            during = [
                stop,
                callbacks.Recorder(log, self.clock, config.steps, progress),
                *self.tests,
                callbacks.Every(config.checkpoint_every, self.save, self.clock),
            ]
            algorithm.learn(
                max(left, 0), CallbackList(during), reset_num_timesteps=False
            )
            if left > 0:
                self.save()
            for test in self.tests if not stop.stopped else ():
                test.evaluate()
        algorithm.logger.close()
        steps, seconds = algorithm.num_timesteps, self.clock.seconds
        return Trained(self.folder, steps, seconds, stop.stopped)

    def save(self) -> None:
        """Writes the agent, and all that is needed to go on.

        ``agent.json`` decides: a run killed before it is replaced has all of the
        checkpoint before, one killed after has all of this one.
        """
        notes, algorithm = self.folder / "training", self.algorithm
        steps = algorithm.num_timesteps
        write_aside(notes / f"{MODEL}.{steps}", algorithm.save)
        if isinstance(algorithm, OffPolicyAlgorithm):
            write_aside(notes / f"{REPLAY}.{steps}", algorithm.save_replay_buffer)
        progress = {"steps": steps, "seconds": round(self.clock.seconds, 3)}
        save_agent(self.folder, algorithm.policy, self.config, self.venv, progress)
        settle(notes, steps)


def _training_env(
    config: AgentConfig, task: Task, encoder: MultimodalVAE | None
) -> VecEnv:
    condition = training_condition(config.sensor_dropout, failing_sensors(config.task))
    return make_vec_env(
        task, config.n_envs, config.seed, condition=condition, model=encoder
    )


def _tests(
    config: AgentConfig,
    folder: Path,
    encoder: MultimodalVAE | None,
    clock: callbacks.Clock,
) -> list[callbacks.EvaluateConditions]:
    """Periodic evaluation, if there is any."""
    conditions = _conditions(config)
    if not conditions:
        return []
    test = callbacks.EvaluateConditions(
        config.task,
        [*conditions.values()],
        config.evaluate_every,
        config.evaluate_episodes,
        path=folder / "training" / EVALUATIONS,
        encoder=encoder,
        clock=clock,
    )
    return [test]


def _conditions(config: AgentConfig) -> dict[str, Condition]:
    """Those of evaluation by name, none where there is no evaluation."""
    if not config.evaluate_every:
        return {}
    task, names = config.task, config.conditions
    if not names:
        lost = failing_sensors(task)
        # Of no effect on the state; one sensor alone is never missing.
        if task.perception.kind == "state" or len(lost) == 1:
            lost = ()
        names = (EVERYTHING, *(f"no_{name}" for name in lost))
    return {condition.name: condition for condition in task_conditions(task, names)}


def load_state(
    folder: Path, config: AgentConfig, venv: VecEnv, device: str = "cpu"
) -> tuple[BaseAlgorithm, float]:
    """The algorithm as it was at the last checkpoint, and seconds of training."""
    notes, manifest = folder / "training", {}
    if (folder / "agent.json").exists():
        manifest = read_manifest(folder)
        settle(notes, manifest["steps"])
    path = notes / MODEL
    if not manifest:  # ended before its first checkpoint
        return build(config, venv, device), 0.0
    kind = ALGORITHMS[config.algo].kind
    try:
        algorithm = kind.load(path, env=venv, device=device)
        if isinstance(algorithm, OffPolicyAlgorithm):
            algorithm.load_replay_buffer(notes / REPLAY)
    except Exception as error:  # whatever unpickling a damaged file raises
        raise UserError(f"cannot go on from {path}: {error}") from error
    # Other episodes than those that the run began with.
    algorithm.set_random_seed(config.seed + algorithm.num_timesteps)
    return algorithm, manifest["seconds"]
