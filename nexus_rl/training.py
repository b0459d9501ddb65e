"""Training: what is trained, on what, and where it is kept; the loop is in loop.py."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nexus_rl import columns as cols
from nexus_rl.config import TrainConfig
from nexus_rl.data.dataset import Dataset
from nexus_rl.distributed import rank
from nexus_rl.errors import UserError
from nexus_rl.loop import DivergenceError, Loop, TrainResult
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.models.files import describe
from nexus_rl.processes import StopFlag, resolve_device, stoppable
from nexus_rl.run_folder import Record, RunFolder

__all__ = ["DivergenceError", "TrainResult", "train", "train_to_end"]


def train(
    model: MultimodalVAE,
    data: Dataset | Mapping[str, Tensor],
    config: TrainConfig | None = None,
    *,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = False,
    notes: dict[str, Any] | None = None,
    on_epoch: Callable[[Record], object] | None = None,
    posteriors: Callable[[int], cols.Columns] | None = None,
) -> TrainResult:
    """Trains ``model`` in place on complete data, as the paper does (section 6.1).

    ``data`` is a ``Dataset`` (its training part is used) or tensors by modality name.
    With ``out``, checkpoints, logs, pictures and ``notes`` are kept in that folder,
    Ctrl-C saves and returns, and ``resume`` continues a run exactly. ``progress``
    shows a bar; ``on_epoch`` gets each epoch's record. Under ``torchrun`` the
    processes share each batch. In stage "top", ``posteriors`` may give the bottoms'
    posteriors that an epoch (from 1) is trained on, a (mean, logvar) pair a modality,
    instead of those of the model's own bottoms.

    Raises ``UserError`` for data that do not fit, a folder that holds another run, or
    a full disk, and ``DivergenceError`` when a loss term is no longer finite; the last
    good checkpoint stays.
    """
    config = config or TrainConfig()
    columns: cols.Columns = dict(data.train if isinstance(data, Dataset) else data)
    classes = data.classes if isinstance(data, Dataset) else ()
    cols.check(model, columns, config)
    if posteriors is not None and config.stage != "top":
        raise UserError(f"posteriors are for stage 'top', not {config.stage!r}")
    resolve_device(config.device)  # refused before a folder is made
    folder = RunFolder(out) if out is not None else None
    if folder is not None and rank() == 0:
        trained = _described(model, columns)
        if resume:
            folder.go_on(config, trained)
        else:
            folder.start(config, trained, notes or {}, overwrite)
    with (
        _trainable(model, config.stage),
        stoppable() if out is not None else contextlib.nullcontext(StopFlag()) as stop,
    ):
        loop = Loop(model, columns, config, folder, classes, resume, posteriors)
        return loop.run(stop, progress, on_epoch)


def train_to_end(
    model: MultimodalVAE,
    data: Dataset | Mapping[str, Tensor],
    config: TrainConfig,
    folder: Path,
    progress: bool,
    **options: Any,
) -> None:
    """Trains in ``folder`` as far as it is not, as if never interrupted.

    ``options`` are those of ``train``. Raises ``KeyboardInterrupt`` after Ctrl-C, and
    ``UserError`` if ``folder`` holds another run, even one that is finished.
    """
    begun, there = (folder / "run.json").exists(), RunFolder(folder)
    state = there.load_state() if begun else None
    if state is not None and state["epoch"] > config.epochs:
        columns = data.train if isinstance(data, Dataset) else data
        there.check_same(config, _described(model, columns))
        return
    result = train(
        model, data, config, out=folder, resume=begun, progress=progress, **options
    )
    if result.interrupted:
        raise KeyboardInterrupt


def _described(model: MultimodalVAE, columns: Mapping[str, Tensor]) -> dict[str, Any]:
    """What is trained, and on what: both are those of a continued run, too."""
    data = {"rows": cols.rows_of(columns), "data": cols.digests(columns)}
    return {**describe(model), **data}


@contextlib.contextmanager
def _trainable(model: MultimodalVAE, stage: str) -> Iterator[None]:
    """Only what the stage trains requires gradients."""
    fixed: list[nn.Parameter] = []
    if stage == "bottom":
        fixed += [*model.fusion.parameters(), *model.top_decoders.parameters()]
    if stage == "top":
        fixed += model.bottoms.parameters()
    changed = [p for p in fixed if p.requires_grad]
    for p in changed:
        p.requires_grad_(False)
    try:
        yield
    finally:
        for p in changed:
            p.requires_grad_(True)
