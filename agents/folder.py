"""The folder of an agent: what training may delete, and what it finds again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from agents.config import AgentConfig
from nexus_rl.errors import UserError
from nexus_rl.files import fingerprint, inside, read_json
from nexus_rl.parts import aside

POLICIES = "policy*.safetensors"
# What belongs to an agent, in the order in which it may be deleted.
OWN = (POLICIES, "encoder", "training", "evaluation", "agent.json")
# What training goes on from, in its folder.
MODEL, REPLAY = "model.zip", "replay.pkl"
EVALUATIONS = "evaluations.jsonl"  # in the same folder


def read_config(folder: Path) -> AgentConfig:
    """The settings of the training in ``folder``. Raises ``UserError`` without one."""
    path = folder / "training" / "run.json"
    saved = read_json(path, "training of an agent")
    try:
        return AgentConfig.from_json(saved)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path} is incomplete or was changed: {error}") from error


def check_free(folder: Path, overwrite: bool) -> None:
    """Raises ``UserError`` unless a new agent may be trained in ``folder``."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, expected a folder for the agent")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    known = ("agent.json", "training/run.json")
    if not any((folder / name).exists() for name in known):
        raise UserError(f"{folder} holds files that are no agent; choose another")
    if not overwrite:
        raise UserError(
            f"{folder} already holds an agent: continue it with --resume {folder}, or "
            "replace it with --overwrite"
        )


def clear(folder: Path) -> None:
    """Deletes what training writes and nothing else."""
    if not folder.is_dir():
        return
    for own in [path for name in OWN for path in folder.glob(name)]:
        if own.is_dir():
            shutil.rmtree(own)
        else:
            own.unlink()


def settle(training: Path, steps: int) -> None:
    """Moves the state that was saved as of ``steps`` into place.

    Deletes what killed runs left of others.
    """
    for name in (MODEL, REPLAY):
        for path in training.glob(f"*{name}.*"):
            if path.name == f"{name}.{steps}":
                path.replace(training / name)
            else:
                path.unlink()


def check_file(folder: Path, name: str, expected: Mapping[str, Any]) -> None:
    """Raises ``UserError`` unless file ``name`` has the ``expected`` fingerprint."""
    path = inside(folder, name)
    if not path.is_file():
        raise UserError(f"the agent in {folder} is incomplete: no {name}")
    if fingerprint(path) != expected:
        raise UserError(
            f"{path} is not the file that agent.json tells of, its size or sha256 "
            "differs: copy the whole folder again, or save the agent again by "
            f"resuming its training: --resume {folder}"
        )


def write_aside(path: Path, write: Callable[[Any], None]) -> None:
    """Lets ``write`` fill a file, and moves it into place when it is whole."""
    with aside(path) as part, part.open("wb") as file:
        write(file)
