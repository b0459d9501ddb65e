"""What the tests of the scripts share: a tiny dataset, and quick processes.

A script's process comes from a server that has imported torch already; otherwise it
is run like any other, and has the dataset "tiny" beside the library's own.
"""

from __future__ import annotations

import importlib.util
import multiprocessing as mp
import os
import runpy
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from nexus_rl import Modality
from nexus_rl.data import DATASETS, Dataset
from nexus_rl.files import read_json

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
MODALITIES = (Modality("image", (1, 8, 8)), Modality("label", (3,), "categorical"))

# Options that make a run last a second or two.
TINY = [
    *("--dataset", "tiny", "--width", "16", "--latent-dim", "4", "--epochs", "3"),
    *("--batch-size", "4", "--warmup-epochs", "2", "--device", "cpu", "--threads", "1"),
]

PENDULUM = "envs:nexus_rl/MultimodalPendulum-v0"

# The same for an environment, whose default preset trains in two stages.
STAGED = [
    *("--env", PENDULUM, "--rows", "400", "--epochs", "2", "--top-epochs", "2"),
    *("--batch-size", "16", "--top-batch-size", "8", "--width", "16"),
    *("--device", "cpu", "--threads", "1"),
]

PROCESSES = mp.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        *("nexus_rl.training", "nexus_rl.pictures", "torch.utils.tensorboard"),
        *("nexus_rl.data.simulate", "nexus_rl.probes", "envs", "torch._dynamo"),
    ]
)


def part(rows: int, seed: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(seed)
    label = torch.randint(3, (rows,), generator=random)
    image = torch.randint(200, (rows, 1, 8, 8), generator=random)
    image[:, 0, 0, 0] = label * 100
    return {"image": image.to(torch.uint8), "label": label.to(torch.uint8)}


def load_tiny(data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """The dataset "tiny": 240 made-up images of three classes, 30 for testing."""
    return Dataset("tiny", MODALITIES, part(240, 0), part(30, 1), ("a", "b", "c"))


@dataclass
class Finished:
    """How a script ended, and all it said."""

    code: int
    said: str


class Script:
    """A running script; ``arguments`` as on the command line."""

    def __init__(
        self,
        name: str,
        arguments: Sequence[object],
        folder: Path,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.output = folder / f"{name}-{time.monotonic_ns()}.txt"
        self.process: BaseProcess = PROCESSES.Process(
            target=_run,
            args=(name, [str(a) for a in arguments], folder, self.output, environment),
            daemon=True,
        )
        self.process.start()

    def send(self, signal_number: int) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal_number)

    def finish(self, seconds: float = 60) -> Finished:
        self.process.join(seconds)
        code = self.process.exitcode
        if code is None:
            self.process.kill()
            self.process.join()
            raise AssertionError(f"still running after {seconds} s")
        return Finished(code, self.output.read_text())


def _run(
    name: str,
    arguments: list[str],
    folder: Path,
    output: Path,
    environment: dict[str, str] | None,
) -> None:
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ.update(environment or {})
    os.chdir(folder)
    DATASETS["tiny"] = load_tiny
    sys.argv = [name, *arguments]
    sys.path.insert(0, str(SCRIPTS))  # as Python does for a script
    runpy.run_path(str(SCRIPTS / name), run_name="__main__")


def pretrain(folder: Path, *arguments: object) -> Finished:
    """Runs ``pretrain_nexus.py`` in ``folder`` to its end."""
    return Script("pretrain_nexus.py", arguments, folder).finish()


def evaluate(folder: Path, *arguments: object) -> Finished:
    """Runs ``evaluate_cmi.py`` in ``folder`` to its end."""
    return Script("evaluate_cmi.py", arguments, folder).finish()


def evaluate_encoder(folder: Path, *arguments: object) -> Finished:
    """Runs ``evaluate_encoder.py`` in ``folder`` to its end."""
    return Script("evaluate_encoder.py", arguments, folder).finish()


def load_script(name: str) -> ModuleType:
    """A script as a module, to call its functions."""
    spec = importlib.util.spec_from_file_location(Path(name).stem, SCRIPTS / name)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def error_line(finished: Finished) -> str:
    """The one line in which a script says what the user did wrong."""
    assert finished.code == 2, finished.said
    errors = [x for x in finished.said.splitlines() if x.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in finished.said, finished.said
    return errors[0].removeprefix("error: ")


def from_shell(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs Python from scratch, as a user's shell does."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=120,
    )


def wait_until(condition: Callable[[], object], seconds: float = 30) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, f"nothing happened for {seconds} s"
        time.sleep(0.002)


def log_lines(folder: Path) -> int:
    log = folder / "log.jsonl"
    return len(log.read_text().splitlines()) if log.exists() else 0


def results(folder: Path) -> dict[str, bytes]:
    """The bytes that must not depend on how often a run was interrupted."""
    names = ("log.jsonl", "model.safetensors", "best/model.safetensors")
    return {name: (folder / name).read_bytes() for name in names}


def same_runs(one: Path, other: Path) -> bool:
    """Whether both stages in both folders ended with the same bytes."""
    return all(
        results(one / name) == results(other / name) for name in ("run", "run_bottoms")
    )


def read(path: Path) -> Any:
    return read_json(path, "JSON")


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "training.pt", weights_only=True)
    return found


def bottoms(folder: Path) -> dict[str, Tensor]:
    """The weights of the bottom level of the model in ``folder``."""
    weights = load_file(folder / "model.safetensors")
    found = {name: value for name, value in weights.items() if "bottoms." in name}
    assert found
    return found


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether both hold the same tensors by name."""
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) for name in one
    )
