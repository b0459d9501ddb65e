"""The part of ``benchmark.py`` about memory, on the CPU."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path


def measure() -> dict[str, int]:
    """Peak resident memory in MB of processes that import torch, and that train."""
    imported = run_child("import torch")
    return {"import_torch_mb": imported, "train_on_60000_images_mb": run_child(TRAIN)}


# Nine tenths go to validation, to keep it short: memory does not depend on steps.
TRAIN = """
from benchmark import cli, made_up, new_model
from nexus_rl import TrainConfig, train
cli.keep_freed_memory()
data, model = made_up(60_000, 0, "cpu"), new_model(0.1, 0, "cpu")
config = TrainConfig(epochs=1, validation_fraction=0.9, device="cpu")
train(model, data, config, out=FOLDER)
"""


def run_child(code: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        code = code.replace("FOLDER", repr(f"{folder}/run"))
        report = f"{code}\nprint({PEAK})"
        run = subprocess.run(
            [sys.executable, "-c", report],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    return int(run.stdout.split()[-1]) // 1024


# Not getrusage: a child inherits the peak of the process that started it.
PEAK = "next(line for line in open('/proc/self/status') if 'VmHWM' in line).split()[1]"


def table(result: dict[str, int]) -> str:
    """The figures in Markdown."""
    return (
        f"Peak memory, measured once on the CPU: {result['train_on_60000_images_mb']} "
        "MB while training on 60,000 images, of which importing torch takes "
        f"{result['import_torch_mb']} MB."
    )
