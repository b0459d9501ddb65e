"""What the tests of training share: tiny data and models, and processes that train.

Processes come from a server that has imported torch already, so that each costs
milliseconds instead of seconds. They are real ones: they can be killed.
"""

from __future__ import annotations

import multiprocessing as mp
import os
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nexus_rl import Modality, TrainConfig, make_model, train
from nexus_rl.models import MultimodalVAE
from nexus_rl.training import TrainResult

torch.set_num_threads(1)

IMAGE = Modality("image", (1, 8, 8))
LABEL = Modality("label", (3,), "categorical", weight=5, top_weight=7)
MODALITIES = (IMAGE, LABEL)

PROCESSES = mp.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    ["nexus_rl.training", "nexus_rl.pictures", "torch.utils.tensorboard"]
)


def made_up(rows: int = 40, seed: int = 0) -> dict[str, Tensor]:
    """Noisy images of which one third is bright, and which third it is."""
    random = torch.Generator().manual_seed(seed)
    label = torch.randint(3, (rows,), generator=random)
    image = torch.randint(100, (rows, 1, 8, 8), generator=random)
    for k, columns in enumerate((slice(0, 3), slice(3, 6), slice(6, 8))):
        image[label == k, :, :, columns] += 150
    return {"image": image.to(torch.uint8), "label": label.to(torch.uint8)}


def tiny_model(seed: int = 0, **options: Any) -> MultimodalVAE:
    name, modalities = (
        options.pop("name", "nexus"),
        options.pop("modalities", MODALITIES),
    )
    return make_model(
        name, modalities, seed=seed, **{"latent_dim": 4, "width": 16, **options}
    )


def settings(**changes: Any) -> TrainConfig:
    """Three epochs of five batches; the last batch has four rows."""
    defaults = {"epochs": 3, "batch_size": 8, "warmup_epochs": 2, "device": "cpu"}
    return TrainConfig(**{**defaults, **changes})


def train_tiny(out: Path | None = None, **options: Any) -> TrainResult:
    """Trains a new tiny model; ``options`` of the settings and of ``train``."""
    chosen = {
        name: options.pop(name)
        for name in ("resume", "overwrite", "on_epoch", "notes", "progress")
        if name in options
    }
    data = options.pop("data", None) or made_up()
    model = options.pop("model", None) or tiny_model()
    return train(model, data, settings(**options), out=out, **chosen)


def start(target: Callable[..., object], *arguments: Any) -> BaseProcess:
    """A process that calls ``target``, a function of a module."""
    process = PROCESSES.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process


def finish(process: BaseProcess, seconds: float = 60) -> int:
    """Waits for the process and returns its exit code."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
        raise AssertionError(f"the process was still running after {seconds} s")
    return process.exitcode


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"nothing happened for {seconds} s"
        time.sleep(0.002)


def output_to(path: Path) -> None:
    """In a process: standard output and error go to a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


def log_lines(folder: Path) -> int:
    log = folder / "log.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def results(folder: Path) -> dict[str, bytes]:
    """The bytes that must not depend on how often a run was interrupted."""
    names = ("log.jsonl", "model.safetensors", "best/model.safetensors")
    return {name: (folder / name).read_bytes() for name in names}
