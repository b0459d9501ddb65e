"""What happens while an agent learns: its log, and what is done every so often."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm

from agents.acting import PolicyPlayer
from agents.bundle import load_encoder
from agents.conditions import EVERYTHING, Condition
from agents.evaluation import check_numbers, evaluate_subsets, task_conditions
from agents.perception import Task, make_vec_env
from nexus_rl.errors import UserError
from nexus_rl.files import sealed, unsealed, write_atomic
from nexus_rl.processes import StopFlag
from nexus_rl.wrappers.checks import check_count

if TYPE_CHECKING:
    from nexus_rl.models.core import MultimodalVAE

LOG_EVERY = 1000  # steps


class Clock:
    """Seconds of training: from ``start`` to ``stop``, but for what is ``paused``."""

    def __init__(self, seconds: float = 0.0) -> None:
        self._before = seconds
        self._since: float | None = None

    def start(self) -> None:
        """Count from now on."""
        self._before, self._since = self.seconds, time.monotonic()

    def stop(self) -> None:
        """Count no more."""
        self._before, self._since = self.seconds, None

    @property
    def seconds(self) -> float:
        """How many so far."""
        since = self._since
        return self._before + (0.0 if since is None else time.monotonic() - since)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Seconds inside do not count."""
        self.stop()
        try:
            yield
        finally:
            self.start()


class Recorder(BaseCallback):
    """Writes a line of the learning curve every thousand steps, and shows progress.

    A line holds steps, seconds of training, and number, mean return and mean length of
    the episodes that ended since the line before (null where none did).
    """

    def __init__(self, path: Path, clock: Clock, total: int, progress: bool) -> None:
        super().__init__()
        self.path, self.clock, self.total = path, clock, total
        self.show = progress
        self._ended: list[dict[str, float]] = []

    def _on_training_start(self) -> None:
        steps = self.model.num_timesteps
        self._next = steps - steps % LOG_EVERY + LOG_EVERY
        self._bar = tqdm(
            total=self.total, initial=steps, unit="step", disable=not self.show
        )
        self.clock.start()

    def _on_step(self) -> bool:
        infos = self.locals["infos"]
        self._ended += [info["episode"] for info in infos if "episode" in info]
        if self.num_timesteps >= self._next:
            self._next += LOG_EVERY
            self._write()
        return True

    def _on_training_end(self) -> None:
        self.clock.stop()
        self._bar.close()

    def _write(self) -> None:
        returns = [float(episode["r"]) for episode in self._ended]
        lengths = [float(episode["l"]) for episode in self._ended]
        record = {
            "steps": self.num_timesteps,
            "seconds": round(self.clock.seconds, 3),
            "episodes": len(returns),
            "return": float(np.mean(returns)) if returns else None,
            "length": float(np.mean(lengths)) if lengths else None,
        }
        append(self.path, [record])
        self._ended = []
        self._bar.update(self.num_timesteps - self._bar.n)
        if returns:
            self._bar.set_postfix({"return": f"{record['return']:.1f}"})


class Every(BaseCallback):
    """Calls ``act`` about every ``steps``, between an update and the next experience.

    The policy and what it has learned from are consistent then. 0 is never. The clock
    does not count what it takes.
    """

    def __init__(self, steps: int, act: Callable[[], None], clock: Clock) -> None:
        super().__init__()
        self.steps, self.act, self.clock = steps, act, clock

    def _on_training_start(self) -> None:
        # Multiples of ``steps``, however often training was interrupted.
        self._next = self._following()

    def _on_rollout_start(self) -> None:
        if self.steps and self.model.num_timesteps >= self._next:
            self._next = self._following()
            with self.clock.paused():
                self.act()

    def _on_step(self) -> bool:
        return True

    def _following(self) -> int:
        done = self.model.num_timesteps
        return done - done % self.steps + self.steps if self.steps else 0


class EvaluateConditions(Every):
    """Measures the policy that learns under sensor conditions; for any ``learn``.

    About every ``every`` steps it plays ``episodes`` of each of the ``conditions``, as
    ``evaluate_subsets`` does, in environments of its own. The mean returns go to the
    algorithm's logger as "evaluation/CONDITION", and as lines of JSON to the file
    ``path``: steps, seconds of training without those of evaluation, condition, return.
    ``encoder`` is that of ``task``, if it is loaded already. The environments are those
    of ``make_vec_env(task, ...)``. Of wrappers around those that the algorithm learns
    in, only VecNormalize counts: its statistics of that moment normalise observations.

    Raises ``UserError`` for conditions that are unknown or do not fit the task, and
    numbers out of range; and, when training starts, if the policy does not fit it,
    ``PolicyPlayer``.

    Example:
    >>> from stable_baselines3 import PPO
    >>> from agents import Perception, make_vec_env
    >>> task = Task("nexus_rl/MultimodalPendulum-v0", perception=Perception("raw"))
    >>> tests = EvaluateConditions(task, path="evaluations.jsonl")
    >>> algorithm = PPO("MultiInputPolicy", make_vec_env(task, n_envs=4, seed=0))
    >>> algorithm = algorithm.learn(50_000, callback=tests)
    """

    def __init__(
        self,
        task: Task,
        conditions: str | Sequence[str | Condition] = (EVERYTHING, "missing"),
        every: int = 20_000,
        episodes: int = 5,
        *,
        path: str | Path | None = None,
        encoder: MultimodalVAE | None = None,
        clock: Clock | None = None,
    ) -> None:
        check_count("every", every, 0)
        check_numbers(episodes, (0,), 1)
        super().__init__(every, self.evaluate, clock or Clock())
        self.task, self.episodes, self.path = task, episodes, path
        self.conditions = task_conditions(task, conditions)
        self.encoder = load_encoder(task) if encoder is None else encoder
        for condition in self.conditions:
            # Else mistakes would be told after the first steps of training.
            make_vec_env(task, 1, 0, condition=condition, model=self.encoder).close()

    def _init_callback(self) -> None:
        self.player = PolicyPlayer(self.model, self.task, encoder=self.encoder)

    def _on_training_start(self) -> None:
        super()._on_training_start()
        self.clock.start()

    def _on_training_end(self) -> None:
        self.clock.stop()

    def evaluate(self) -> None:
        """Measures now, such as at the end of training."""
        rows = evaluate_subsets(
            self.player, self.conditions, self.episodes, n_envs=min(self.episodes, 10)
        ).rows
        steps, seconds = self.model.num_timesteps, round(self.clock.seconds, 3)
        records: list[dict[str, Any]] = []
        for name in [condition.name for condition in self.conditions]:
            mean = fmean(row["return"] for row in rows if row["condition"] == name)
            told = {"steps": steps, "seconds": seconds, "condition": name}
            records.append({**told, "return": mean})
            self.logger.record(f"evaluation/{name}", mean)
        self.logger.dump(steps)
        if self.path is not None:
            append(Path(self.path), records)


class Stop(BaseCallback):
    """Ends training when the flag asks for it.

    Steps of a rollout that was not learned from are not counted.
    """

    def __init__(self, flag: StopFlag) -> None:
        super().__init__()
        self.flag = flag
        self.stopped = False

    def _on_rollout_start(self) -> None:
        self._learned = self.model.num_timesteps

    def _on_step(self) -> bool:
        self.stopped = self.flag.asked
        return not self.stopped

    def _on_training_end(self) -> None:
        if self.stopped:
            self.model.num_timesteps = self._learned


def append(path: Path, records: list[dict[str, Any]]) -> None:
    """Adds lines of JSON to the file, each with its checksum."""
    with path.open("a") as file:
        file.write(_lines(records))


def read_lines(path: Path, resuming: bool = False) -> list[dict[str, Any]]:
    """The records in a file of lines of JSON, none where it is not there.

    Raises ``UserError`` for a damaged line. The end of the file may be one that a
    killed process began to write: that is dropped when ``resuming``.
    """
    try:
        lines = path.read_bytes().splitlines(keepends=True)
    except FileNotFoundError:
        return []
    records = []
    for number, line in enumerate(lines, 1):
        where = f"line {number} of {path}"
        try:
            record, _ = unsealed(json.loads(line), where)
            records.append({**record})
        except (ValueError, TypeError, RecursionError) as error:
            if resuming and not line.endswith(b"\n"):
                break
            raise UserError(f"{where} is damaged: {error}") from None
    return records


def cut(path: Path, steps: int) -> None:
    """Drops records of later than ``steps``: of a run that was killed after."""
    records = read_lines(path, resuming=True)
    write_atomic(path, _lines([r for r in records if r["steps"] <= steps]).encode())


def _lines(records: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(sealed(record)) + "\n" for record in records)
