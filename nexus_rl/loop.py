"""The training loop: index batches from tensors in memory, Adam, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from nexus_rl import columns as cols
from nexus_rl.config import TrainConfig
from nexus_rl.data.dataset import split_rows
from nexus_rl.distributed import global_sum, rank, world_size
from nexus_rl.draws import Draws, seeded
from nexus_rl.errors import UserError
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.models.losses import Loss
from nexus_rl.processes import StopFlag, resolve_device
from nexus_rl.run_folder import COUNTERS, Record, RunFolder

# What the derived random generators are for.
ORDER, NOISE, VALIDATION = range(3)


class DivergenceError(UserError):
    """A loss term became NaN or infinite."""


@dataclass(frozen=True)
class TrainResult:
    """``records``: one an epoch, as in ``log.jsonl``; ``interrupted``: stopped early,
    with the state saved."""

    records: list[Record]
    interrupted: bool


class Loop:
    """The state of a run: its epoch and step, and the sums so far in the epoch."""

    def __init__(
        self,
        model: MultimodalVAE,
        columns: cols.Columns,
        config: TrainConfig,
        folder: RunFolder | None,
        classes: Sequence[str],
        resume: bool,
        posteriors: Callable[[int], cols.Columns] | None = None,
    ) -> None:
        self.config, self.classes = config, classes
        self.folder = folder if rank() == 0 else None  # one process writes
        state = folder.load_state() if folder is not None and resume else None
        self.device = resolve_device(config.device)
        self.model = model.to(self.device)
        if folder is not None and state is not None:
            with folder.restoring():  # first: cached posteriors depend on it
                model.load_state_dict(state["model"])
        self.data = columns
        self.posteriors = posteriors
        if config.stage == "top" and posteriors is None:
            found = cols.bottom_posteriors(model, columns)
            columns = cols.beside_data(model, found, columns)
        self.columns = cols.to(columns, self.device)
        self.train_rows, self.validation_rows = split_rows(
            cols.rows_of(columns), config.seed, config.validation_fraction
        )
        rows, size = len(self.train_rows), config.batch_size
        # Batch statistics need two rows a process: a smaller rest is left out.
        self.steps = rows // size + (rows % size >= 2 * world_size())
        self.all_steps = self.steps * config.epochs
        parameters = [p for p in model.parameters() if p.requires_grad]
        self.adam = torch.optim.Adam(parameters, config.learning_rate, fused=True)
        if config.compile:
            model.compile()
        self.module: nn.Module = model
        if world_size() > 1:
            # Batch statistics are equal everywhere already. Newer versions of torch
            # have another name for the option and warn about the old one.
            known = signature(DistributedDataParallel.__init__).parameters
            new, old = "forward_sync_buffers", "broadcast_buffers"
            quiet: dict[str, Any] = {new if new in known else old: False}
            self.module = DistributedDataParallel(model, **quiet)
        self.epoch, self.best = 1, float("inf")
        self.records: list[Record] = []
        self.begin_epoch()
        if folder is not None and state is not None:
            with folder.restoring():
                self.restore(state)

    def begin_epoch(self) -> None:
        seed = self.config.seed
        order = seeded(seed, ORDER, self.epoch)
        permutation = torch.randperm(len(self.train_rows), generator=order)
        self.order = self.train_rows[permutation]
        self.noise = seeded(seed, NOISE, self.epoch, device=self.device)
        self.step = self.seen = 0
        self.names: list[str] = []
        self.sums = torch.zeros((), dtype=torch.float64, device=self.device)

    # -- Saving ------------------------------------------------------------------

    def save(self, best: bool = False) -> None:
        """The state last: until it is there, the run continues from the one before."""
        if self.folder is None:
            return
        self.folder.write_log(self.records)
        if self.step == 0:
            self.folder.save_model(self.model, best)
        state = {
            "model": self.model.state_dict(),
            "adam": self.adam.state_dict(),
            "noise": self.noise.get_state(),
            "sums": self.sums,
            **{name: getattr(self, name) for name in COUNTERS},
        }
        self.folder.save_state(state)

    def restore(self, state: dict[str, Any]) -> None:
        self.adam.load_state_dict(state["adam"])
        self.epoch = state["epoch"]
        self.begin_epoch()
        for name in COUNTERS:
            setattr(self, name, state[name])
        self.sums = state["sums"].to(self.device)
        if self.step > 0:
            try:
                self.noise.set_state(state["noise"])
            except RuntimeError:
                raise UserError(
                    "the run was interrupted within an epoch on another kind of "
                    "device, whose noise cannot be continued here: resume it there"
                ) from None

    # -- Running -----------------------------------------------------------------

    def run(
        self,
        stop: StopFlag,
        progress: bool,
        on_epoch: Callable[[Record], object] | None,
        what: str = "",
    ) -> TrainResult:
        """All epochs from the current step on; ``what`` is said before the epoch."""
        if not self.records and self.step == 0:
            self.save()
        elif self.step == 0 and self.folder is not None:
            self.folder.save_model(self.model, best=False)  # it may be damaged
        with _bar(self, progress) as bar:
            while self.epoch <= self.config.epochs:
                bar.set_description(
                    f"{what}epoch {self.epoch}/{self.config.epochs}", refresh=False
                )
                if not self.train_epoch(stop, bar):
                    self.save()
                    return TrainResult(self.records, interrupted=True)
                self.finish_epoch()
                if on_epoch is not None and rank() == 0:
                    on_epoch(self.records[-1])
        return TrainResult(self.records, interrupted=False)

    def train_epoch(self, stop: StopFlag, bar: tqdm[Any]) -> bool:
        """One epoch from the current step on; False if it was interrupted."""
        if self.posteriors is not None:
            found = cols.beside_data(self.model, self.posteriors(self.epoch), self.data)
            self.columns = cols.to(found, self.device)
        self.model.train()
        self.started = (time.perf_counter(), self.seen)
        size = self.config.batch_size
        while self.step < self.steps:
            if self.should_stop(stop):
                return False
            self.train_step(self.order[self.step * size :][:size])
            self.step += 1
            bar.update()
            if self.step % 20 == 0:
                bar.set_postfix(self.means(), refresh=False)
        return True

    def train_step(self, rows: Tensor) -> None:
        total = len(rows)
        start, end = (total * r // world_size() for r in (rank(), rank() + 1))
        draws = Draws(self.noise, (start, end, total))
        with torch.autocast(self.device.type, torch.bfloat16, self.config.bf16):
            loss = self.loss(self.module, rows[start:end], draws, self.epoch)
        values = torch.stack([loss.total.detach(), *loss.terms.values()]).double()
        if not values.isfinite().all():
            raise self.diverged([k for k, v in loss.terms.items() if not v.isfinite()])
        # DDP averages over processes: weigh each one's mean by its rows.
        share = (end - start) / total
        done = ((self.epoch - 1) * self.steps + self.step) / self.all_steps
        for group in self.adam.param_groups:
            group["lr"] = self.config.rate(done)
        self.adam.zero_grad(set_to_none=True)
        (loss.total * (share * world_size())).backward()  # type: ignore[no-untyped-call]
        self.adam.step()
        self.sums = self.sums + global_sum(values * share) * total
        self.names = ["loss", *loss.terms]
        self.seen += total

    def loss(self, module: nn.Module, rows: Tensor, draws: Draws, epoch: int) -> Loss:
        result: Loss = module(
            cols.take(self.columns, rows.to(self.device)),
            stage=self.config.stage,
            warmup=self.config.warmup(epoch),
            generator=draws,
        )
        return result

    def means(self) -> Record:
        values = (self.sums / self.seen).tolist()
        return dict(zip(self.names, values, strict=True))

    def finish_epoch(self) -> None:
        clock, seen = self.started
        speed = (self.seen - seen) / (time.perf_counter() - clock)
        record: Record = {"epoch": self.epoch, "warmup": self.config.warmup(self.epoch)}
        record |= {f"train/{name}": value for name, value in self.means().items()}
        record |= self.validate()
        weights = self.model.state_dict().items()
        bad = [name for name, value in record.items() if not math.isfinite(value)]
        bad += [name for name, value in weights if not value.isfinite().all()]
        if bad:
            raise self.diverged(bad)
        self.records.append(record)
        if self.folder is not None:
            self.folder.write_scalars(record, speed)
            self.draw()
        watched = record.get("validation/loss", record["train/loss"])
        best, self.best = watched < self.best, min(watched, self.best)
        self.epoch += 1
        self.begin_epoch()
        self.save(best)

    def draw(self) -> None:
        every, epochs = self.config.picture_every, self.config.epochs
        if self.folder is None or not (
            self.epoch == epochs or (every and self.epoch % every == 0)
        ):
            return
        rows = self.validation_rows if len(self.validation_rows) else self.train_rows
        self.folder.draw(
            self.model,
            {name: column[rows] for name, column in self.data.items()},
            self.classes,
            self.config.stage,
            self.epoch,
        )

    @torch.no_grad()
    def validate(self) -> Record:
        """Mean loss and terms on the validation rows.

        With full KL weights, the same noise every epoch and nothing dropped, so that
        epochs compare: the training loss grows with the warm-up.
        """
        self.model.eval()
        draws = Draws(seeded(self.config.seed, VALIDATION, device=self.device))
        sums: Record = {}
        count = len(self.validation_rows)
        after_warmup = max(self.config.warmup_epochs, 1)
        for rows in torch.split(self.validation_rows, 1000) if count else ():
            loss = self.loss(self.model, rows, draws, after_warmup)
            for name, value in {"loss": loss.total, **loss.terms}.items():
                sums[name] = sums.get(name, 0.0) + value.item() * len(rows)
        return {f"validation/{name}": total / count for name, total in sums.items()}

    def should_stop(self, stop: StopFlag) -> bool:
        if world_size() == 1:
            return stop.asked
        # All processes must stop at the same step; agreeing at each would cost time.
        asked = torch.tensor(float(stop.asked), device=self.device)
        return self.step % 10 == 0 and bool(global_sum(asked) > 0)

    def diverged(self, bad: list[str]) -> DivergenceError:
        kept = (
            f"{self.folder.path} keeps the model of epoch {len(self.records)}"
            if self.folder is not None
            else "nothing is kept without a folder"
        )
        named = ", ".join(bad[:5]) or "the total loss"
        return DivergenceError(
            f"training diverged in epoch {self.epoch}, step {self.step + 1}: {named} "
            f"is NaN or inf; {kept}. Try a lower learning rate, and check the range "
            "of the data"
        )


def _bar(loop: Loop, progress: bool) -> tqdm[Any]:
    return tqdm(
        total=loop.all_steps,
        initial=(loop.epoch - 1) * loop.steps + loop.step,
        disable=not progress or rank() != 0,
        unit="batch",
        dynamic_ncols=True,
        mininterval=0.5,
    )
