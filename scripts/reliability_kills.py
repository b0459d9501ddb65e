"""What is lost when training or building is killed, at random moments, and goes on."""

from __future__ import annotations

import itertools
import multiprocessing
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from agents import AgentConfig, Perception, Task, load_agent, resume_agent, train_agent
from nexus_rl import TrainConfig, make_model
from nexus_rl.data.mhd import build as mhd
from nexus_rl.data.mhd.sounds import read_fsdd
from nexus_rl.data.mhd.sources import FSDD, STROKES, find
from nexus_rl.data.mhd.store import Folder
from nexus_rl.data.simulate import simulate
from nexus_rl.environments import make_env, prepare_training
from nexus_rl.models.core import MultimodalVAE
from nexus_rl.run_folder import RunFolder
from nexus_rl.spaces import modalities_from_env
from nexus_rl.training import train_to_end

prepare_training()  # before the processes that are killed are made

PENDULUM, SMALL = "nexus_rl/MultimodalPendulum-v0", {"image_size": 16}
AT_ONCE = 5  # kills of one run before it may end
AIMED = 0.3  # of the kills wait until a file is being written

Content = dict[str, bytes]


@dataclass(frozen=True)
class Work:
    """What is killed: ``run`` begins in a folder, or goes on there, to the end.

    ``kept`` is how much a folder keeps of it, which must never become less, ``stage``
    what it was at, and ``result`` what must be the same as of one never interrupted.
    All raise ``UserError`` for what they cannot read.
    """

    run: Callable[[Path], None]
    kept: Callable[[Path], int]
    stage: Callable[[Path], str]
    result: Callable[[Path], Any]


def kill(name: str, kills: int, seed: int, scratch: Path) -> dict[str, Any]:
    """Kills ``WORKS[name]`` so often; what it was at, and what differs in the end.

    Each run is killed up to ``AT_ONCE`` times, after a random part of the time that one
    takes without interruption, and then finished.
    """
    work, rng = WORKS[name], Random(seed)
    whole = scratch / "whole"
    begun = time.perf_counter()
    _finish(work, whole)
    seconds = time.perf_counter() - begun
    expected, stages, lost, done, runs = work.result(whole), Counter(), [], 0, 0
    while done < kills:
        folder, kept = scratch / f"run_{runs}", 0
        for _ in range(min(AT_ONCE, kills - done)):
            if not _killed(work, folder, rng.random() * seconds, rng.random() < AIMED):
                break
            done += 1
            writing = any(folder.rglob("*.partial"))
            stages["a file being written" if writing else work.stage(folder)] += 1
            before, kept = kept, work.kept(folder)
            if kept < before:
                lost.append(f"{before - kept} of {before} steps after a kill")
        _finish(work, folder)
        runs += 1
        if work.result(folder) != expected:
            lost.append("the result differs from that of a run never interrupted")
        shutil.rmtree(folder)
    return {"kills": done, "runs": runs, "stages": dict(stages), "lost": lost}


def _start(work: Work, folder: Path) -> Any:
    # Forked, so that kills fall on work and not on imports.
    context = multiprocessing.get_context("fork")
    process = context.Process(target=work.run, args=(folder,))
    process.start()
    return process


def _finish(work: Work, folder: Path) -> None:
    process = _start(work, folder)
    process.join()
    if process.exitcode:
        raise RuntimeError(f"a run in {folder} ended with {process.exitcode}")


def _killed(work: Work, folder: Path, seconds: float, aimed: bool) -> bool:
    """Whether a run could be killed after so long, or else it has ended by itself."""
    process = _start(work, folder)
    process.join(seconds)
    while aimed and process.is_alive() and not any(folder.rglob("*.partial")):
        time.sleep(0.0005)
    process.kill()
    process.join()
    if process.exitcode not in (0, -9):
        raise RuntimeError(f"a run in {folder} ended with {process.exitcode}")
    return bool(process.exitcode)


def _content(folder: Path, *patterns: str) -> Content:
    paths = itertools.chain(*(folder.glob(pattern) for pattern in patterns))
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(paths)}


# -- Pretraining -----------------------------------------------------------------


def _pretrain(folder: Path) -> None:
    data = simulate(PENDULUM, 300, env_kwargs=SMALL, out=folder / "rows")
    model = make_encoder()
    config = TrainConfig(epochs=6, batch_size=20, warmup_epochs=2)
    train_to_end(model, data, config, folder / "model", False)


def _epochs(folder: Path) -> int:
    state = RunFolder(folder / "model").load_state()
    return 0 if state is None else int(state["epoch"])


def _pretraining_stage(folder: Path) -> str:
    if not (folder / "model" / "run.json").exists():
        return "simulation"
    return "training" if _epochs(folder) else "start of training"


def _pretrained(folder: Path) -> Content:
    return _content(
        folder / "model", "*.json", "*.safetensors", "best/*", "log.jsonl"
    ) | _content(folder / "rows", "**/*.npy")


# -- Agents ----------------------------------------------------------------------

AGENTS: dict[str, dict[str, Any]] = {
    "ppo": {
        "params": {"n_envs": 2, "n_steps": 32, "batch_size": 32, "n_epochs": 2},
        "steps": 1024,
        "checkpoint_every": 128,
    },
    "sac": {
        "params": {"n_envs": 1, "learning_starts": 50, "batch_size": 32},
        "steps": 300,
        "checkpoint_every": 50,
    },
}


def make_encoder() -> MultimodalVAE:
    """An untrained model of the small pendulum."""
    small = {"width": 16, "latent_dim": 4}
    env = make_env(PENDULUM, SMALL)
    modalities = modalities_from_env(env, image=small | {"kind": "frames"}, sound=small)
    return make_model("nexus", modalities, latent_dim=4, width=16)


def train_small_agent(algo: str, folder: Path) -> None:
    """A small agent of the pendulum's latents, begun or gone on with, to the end."""
    encoder = folder.parent / "encoder"
    if not (encoder / "config.json").exists():
        make_encoder().save_pretrained(encoder)
    task = Task(PENDULUM, SMALL, Perception("latent", encoder=str(encoder)))
    config = AgentConfig(task, algo, evaluate_every=0, **AGENTS[algo])
    if not (folder / "training" / "run.json").exists():
        train_agent(config, folder)
    elif _steps(folder) < config.steps:
        resume_agent(folder)


def _steps(folder: Path) -> int:
    """Those of the agent, which must load."""
    if not (folder / "agent.json").exists():
        return 0
    return int(load_agent(folder).manifest["steps"])


def _agent_stage(folder: Path) -> str:
    return "training" if _steps(folder) else "before the first checkpoint"


def _acts(folder: Path) -> Any:
    """What must be the same of agents, whose episodes begin anew when they go on."""
    agent = load_agent(folder)
    venv = agent.make_vec_env(1, seed=0)
    action = agent.predict(venv.reset())
    venv.close()
    return agent.manifest["steps"], agent.manifest["algo"], action.shape


# -- Building MHD ----------------------------------------------------------------

OPTIONS = mhd.Options(train=500, test=100)


def build_small_mhd(folder: Path) -> None:
    """Of the real strokes and of one source of sounds."""
    if not Folder(folder).whole:
        sounds = [read_fsdd(find(FSDD, None))]
        mhd.build(folder, find(STROKES, None), sounds, OPTIONS)


def _arrays(folder: Path) -> int:
    return len(list(folder.glob("*.npy")))


def _building_stage(folder: Path) -> str:
    if (folder / "index.json").exists():
        return "end of the build"
    done = {path.stem for path in folder.glob("*.npy")}
    if "fit_error" not in done:
        return "fit of the strokes"
    return "images" if "sound" in done else "trajectories and sounds"


def _built(folder: Path) -> Content:
    Folder(folder).check()
    return _content(folder, "*.npy", "index.json")


WORKS = {
    "pretraining": Work(_pretrain, _epochs, _pretraining_stage, _pretrained),
    **{
        algo: Work(partial(train_small_agent, algo), _steps, _agent_stage, _acts)
        for algo in AGENTS
    },
    "mhd": Work(build_small_mhd, _arrays, _building_stage, _built),
}
