"""Runs that several tests of the scripts look at."""

from __future__ import annotations

import importlib
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from agents_world import Agents
from script_runs import SCRIPTS, STAGED, TINY, load_script, pretrain


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of three epochs. Do not write into it."""
    folder = tmp_path_factory.mktemp("trained")
    finished = pretrain(folder, *TINY, "--out", "run")
    assert finished.code == 0, finished.said
    return folder / "run"


@pytest.fixture(scope="session")
def staged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an environment was learned in two stages: run, run_bottoms, runs/data.

    Do not write into it.
    """
    folder = tmp_path_factory.mktemp("staged")
    finished = pretrain(folder, *STAGED, "--out", "run")
    assert finished.code == 0, finished.said
    return folder


@pytest.fixture
def world(tmp_path: Path, staged: Path) -> Path:
    """A copy of ``staged`` to write into."""
    for name in ("run", "run_bottoms", "runs"):
        shutil.copytree(staged / name, tmp_path / name)
    return tmp_path


@pytest.fixture
def options(staged: Path) -> list[str]:
    """Those of ``staged``, with its data."""
    return [*STAGED, "--data-dir", str(staged / "runs" / "data"), "--out", "run"]


@pytest.fixture(scope="module")
def pretrain_args() -> ModuleType:
    return load_script("pretrain_args.py")


@pytest.fixture
def module_of(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Imports what scripts import from each other, by name."""
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module


@pytest.fixture
def agents(tmp_path: Path, module_of: Callable[[str], ModuleType]) -> Agents:
    """Results of random actions and an oracle, to which others are written."""
    names = ("rows", "scores", "claims")
    return Agents(tmp_path, {name: module_of(f"agent_{name}") for name in names})


@pytest.fixture
def together() -> list[dict[str, str]]:
    """What torchrun tells two processes that work together."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
    return [
        {
            **{"RANK": str(k), "LOCAL_RANK": str(k), "WORLD_SIZE": "2"},
            **{"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)},
        }
        for k in range(2)
    ]
