"""The folder of a training run: what is in it, and that nothing in it is half written.

``config.json``, ``model.safetensors``  the model after the last finished epoch
``best/``          the same for the epoch of lowest validation loss
``run.json``       what was asked for
``log.jsonl``      one line an epoch, no clock times: a repeated run repeats it exactly
``training.pt``    everything needed to go on
``tensorboard/``, ``pictures/``
"""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nexus_rl.config import ModelConfig, TrainConfig
from nexus_rl.errors import UserError
from nexus_rl.figures import png
from nexus_rl.files import check_archive, read_json, write_atomic, write_json
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.parts import part_of

Record = dict[str, float]

# Fields that may differ when a run is continued: they do not change its numbers,
# except that more epochs add to them (unless the step size depends on their number).
FREE = {"epochs", "device", "picture_every"}

# What a run writes into its folder, in the order in which it may be deleted.
OWN = (
    "training.pt",
    "config.json",
    "model.safetensors",
    "best",
    "log.jsonl",
    "tensorboard",
    "pictures",
    "evaluation.json",
    "evaluation.md",
    "evaluation.png",
    "probe.json",
    "probe.md",
    "probe.png",
    "run.json",
)
# What the state of a run consists of.
STATE = ("model", "adam", "noise", "sums")
COUNTERS = ("epoch", "step", "seen", "names", "best", "records")
FIRST = "run.json"  # part of it is what a run leaves that was killed at once


class RunFolder:
    """A run's files under ``path``."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.state_path = self.path / "training.pt"
        self.log_path = self.path / "log.jsonl"
        self._scalars: Any = None

    def start(
        self,
        config: TrainConfig,
        trained: dict[str, Any],
        notes: dict[str, Any],
        overwrite: bool,
    ) -> None:
        """Claims the folder for a new run; ``trained`` describes model and data.

        Raises ``UserError`` if it holds another run (unless ``overwrite``) or
        anything else.
        """
        self.check_free(overwrite)
        self.clear()
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(
                f"cannot make the folder {self.path}: {error.strerror}; choose another"
            ) from None
        run = {"train": asdict(config), "trained": trained, **notes}
        write_json(self.path / "run.json", run)

    def check_free(self, overwrite: bool, whole: Path | None = None) -> None:
        """Raises ``UserError`` unless a new run may take this folder.

        ``whole`` is the folder to resume if this one is only a part of the run.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"{self.path} is a file, expected a folder for the run")
        there = self.path.iterdir() if self.path.is_dir() else ()
        if all(part_of(path.name) == FIRST for path in there):
            return
        if not (self.path / "run.json").exists():
            raise UserError(
                f"{self.path} holds files that are not a training run; choose "
                "another folder"
            )
        if not overwrite:
            raise UserError(
                f"{self.path} already holds a run: continue it with --resume "
                f"{whole or self.path}, or replace it with --overwrite"
            )

    def clear(self) -> None:
        """Deletes what a run writes and nothing else, what makes it a run last."""
        for name in OWN if self.path.is_dir() else ():
            own = self.path / name
            if own.is_dir():
                shutil.rmtree(own)
            else:
                own.unlink(missing_ok=True)

    def go_on(self, config: TrainConfig, trained: dict[str, Any]) -> None:
        """Records the settings that the run continues with.

        Raises ``UserError`` if there is no run, or if it would become another one.
        """
        self.check_same(config, trained)
        write_json(self.path / "run.json", {**self.read_run(), "train": asdict(config)})

    def check_same(self, config: TrainConfig, trained: dict[str, Any]) -> None:
        """Raises ``UserError`` unless the run is one of ``config`` and ``trained``.

        Or may become one by going on.
        """
        run = self.read_run()
        saved, asked = run["train"], asdict(config)
        free = FREE if config.schedule == "constant" else FREE - {"epochs"}
        may = ", ".join(sorted(free))
        for field in asked:
            if field not in free and asked[field] != saved.get(field):
                raise UserError(
                    f"{self.path} was started with {field} {saved.get(field)}, not "
                    f"{asked[field]}; a continued run may only change {may}"
                )
        done = len(self.read_log())
        if asked["epochs"] < done:
            raise UserError(
                f"{self.path} has finished {done} epochs: a continued run may have "
                "more, not fewer"
            )
        # Through JSON and back, where tuples are lists.
        now, then = json.loads(json.dumps(trained)), run.get("trained", {})
        unused = {"format"}  # changes no number; older runs do not say
        if config.stage == "bottom":
            unused |= {"top_weight", "top_likelihood"}
        for modality in [*now.get("modalities", ()), *then.get("modalities", ())]:
            for field in unused & set(modality):
                del modality[field]
        if "model" in then:  # options that are newer than the run were as by default
            then["model"] = asdict(ModelConfig()) | then["model"]
        for part in then:
            if now.get(part) != then[part]:
                raise UserError(
                    f"{self.path} was started with other {part}: "
                    f"{_difference(then[part], now.get(part))}"
                )

    def read_run(self) -> dict[str, Any]:
        """What ``run.json`` says. Raises ``UserError`` if there is none."""
        path = self.path / "run.json"
        run: dict[str, Any] = read_json(path, "training run", train=dict)
        return run

    def load_state(self) -> dict[str, Any] | None:
        """The saved training state, or None if the run had not begun."""
        if not self.state_path.exists():
            return None
        try:
            check_archive(self.state_path)
            state = torch.load(self.state_path, map_location="cpu", weights_only=True)
        except Exception as error:  # damaged bytes break both readers in many ways
            raise UserError(
                f"{self.state_path} is damaged ({error}); the model beside it may "
                "still be whole"
            ) from None
        if not isinstance(state, dict) or not state.keys() >= {*STATE, *COUNTERS}:
            raise UserError(f"{self.state_path} is not the state of a training run")
        return state

    @contextmanager
    def restoring(self) -> Iterator[None]:
        """Raises ``UserError`` where the saved state is not that of this run."""
        try:
            yield
        except UserError:
            raise
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise UserError(
                f"{self.state_path} is the state of another run, or of an older "
                f"version: {error}"
            ) from None

    def save_state(self, state: dict[str, Any]) -> None:
        """Writes the training state; from now on the run continues from here."""
        content = io.BytesIO()
        torch.save(state, content)
        write_atomic(self.state_path, content.getvalue())

    def save_model(self, model: MultimodalVAE, best: bool) -> None:
        """Writes the model as the run's last, and as its best."""
        if best:
            model.save_pretrained(self.path / "best")
        model.save_pretrained(self.path)

    def read_log(self) -> list[Record]:
        """A record an epoch, as far as there are any.

        Raises ``UserError`` if it is damaged: ``training.pt``, where it is whole, tells
        what it should say, but for an epoch whose state was never written.
        """
        try:
            lines = self.log_path.read_bytes().splitlines()
        except FileNotFoundError:
            return []
        state = None
        with suppress(UserError):
            state = self.load_state() if lines else None
        done = state["records"] if state else []
        try:
            records = [json.loads(line) for line in lines]
        except (ValueError, RecursionError):
            records = []
        if len(records) < len(lines) or records[: len(done)] != done:
            raise UserError(
                f"{self.log_path} is damaged; delete it, and resume the run, which "
                "writes it again"
            )
        return records

    def write_log(self, records: list[Record]) -> None:
        """Writes the whole log."""
        lines = "".join(json.dumps(record) + "\n" for record in records)
        write_atomic(self.log_path, lines.encode())

    def write_scalars(self, record: Record, samples_per_second: float) -> None:
        """Adds an epoch to the TensorBoard log."""
        from torch.utils.tensorboard import SummaryWriter

        epoch = int(record["epoch"])
        if self._scalars is None:
            # Later lines are of a killed run, from after its last checkpoint.
            folder = str(self.path / "tensorboard")
            self._scalars = SummaryWriter(folder, purge_step=epoch)
        for name, value in record.items():
            self._scalars.add_scalar(name, value, epoch)
        self._scalars.add_scalar("samples_per_second", samples_per_second, epoch)
        self._scalars.flush()

    def draw(
        self,
        model: MultimodalVAE,
        batch: dict[str, Tensor],
        classes: Sequence[str],
        stage: str,
        epoch: int,
    ) -> None:
        """Draws what the model imagines, if it can, from examples of ``batch``."""
        from nexus_rl import pictures

        if not model.generative:
            return
        rows = pictures.examples(batch, model.modalities)
        chosen = {name: data[rows] for name, data in batch.items()}
        figure = pictures.draw(model, chosen, classes, stage)
        write_atomic(self.picture_path(epoch), png(figure))

    def picture_path(self, epoch: int) -> Path:
        """Where the picture of ``epoch`` is."""
        return self.path / "pictures" / f"epoch_{epoch:03d}.png"


def _difference(then: Any, now: Any) -> str:
    """Where two descriptions that are not equal first differ."""
    if isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        then, now = dict(enumerate(then)), dict(enumerate(now))
    if isinstance(then, dict) and isinstance(now, dict):
        for key in [*then, *now]:
            if then.get(key) != now.get(key):
                name = (
                    now.get(key, {}).get("name", key) if isinstance(key, int) else key
                )
                return f"{name} {_difference(then.get(key), now.get(key))}"
    return f"{then}, not {now}"
