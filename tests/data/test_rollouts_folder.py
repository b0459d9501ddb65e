"""Folders of rollouts: killed, continued, added to, mapped."""

from __future__ import annotations

import json
import mmap
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_rollouts_env import Toy, content

from nexus_rl import UserError
from nexus_rl.data import rollout_store
from nexus_rl.data.rollouts import collect, gather, load_rollouts
from nexus_rl.files import read_json

PENDULUM = "envs:nexus_rl/MultimodalPendulum4-v0"
ROWS = 8_000
# Imports once; for every line of input starts a process that gathers.
PROGRAM = f"""
import os, sys
from nexus_rl.data.rollouts import gather
for folder in sys.stdin:
    pid = os.fork()
    if pid == 0:
        gather("{PENDULUM}", {ROWS}, seed=1, out=folder.strip())
        os._exit(0)
    print(pid, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"""


class StopHereError(Exception):
    """What the environment below ends with."""


class Breaking(Toy):
    """Breaks after so many observations, of this and the environments before it."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def _observe(self, *told: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if len(self.log) > self.after:
            raise StopHereError
        return super()._observe(*told)


def committed(folder: Path) -> int:
    index = folder / "index.json"
    return int(json.loads(index.read_text())["rows"]) if index.exists() else -1


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A finished folder of 50 rows."""
    collect(Toy(), 50, out=tmp_path / "rollouts")
    return tmp_path / "rollouts"


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits after almost every episode."""
    monkeypatch.setattr(rollout_store, "COMMIT_ROWS", 10)


def test_killed_at_random_moments_and_run_again_is_bit_identical(
    tmp_path: Path,
) -> None:
    moments, killed = random.Random(7), tmp_path / "killed"
    done: list[int] = []
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    ) as starter:
        assert starter.stdin is not None
        assert starter.stdout is not None
        for least in (0, 2000, 5000):  # at the start, in the states, in the rollouts
            starter.stdin.write(f"{killed}\n")
            pid = int(starter.stdout.readline())
            while committed(killed) < least:
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.05))
            os.kill(pid, signal.SIGKILL)
            assert int(starter.stdout.readline()) == -signal.SIGKILL, done
            done.append(committed(killed))
    assert done == sorted(done), done
    assert done[-1] < ROWS, done
    gather(PENDULUM, ROWS, seed=1, out=killed)
    gather(PENDULUM, ROWS, seed=1, out=tmp_path / "whole")
    assert content(killed) == content(tmp_path / "whole"), done


@pytest.mark.usefixtures("often")
@pytest.mark.parametrize("after", [0, 1, 2, 13, 40, 77, 99])
def test_stopped_after_any_row_and_run_again_is_bit_identical(
    tmp_path: Path, after: int
) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    collect(Breaking(10_000), 100, out=whole)
    with pytest.raises(StopHereError):
        collect(Breaking(after), 100, out=stopped)
    for path in stopped.glob("*.bin"):  # as a killed process may leave them
        with path.open("ab") as file:
            file.write(b"half a row")
    collect(Breaking(10_000), 100, out=stopped)
    assert content(stopped) == content(whole)


def test_one_call_at_a_time_adds_to_a_folder(tmp_path: Path) -> None:
    """Two would write their rows over one another's."""

    def meanwhile(observation: Any) -> int:
        with pytest.raises(UserError, match="another process is writing into"):
            collect(Toy(), 20, out=tmp_path)
        return 0

    (tmp_path / ".lock").touch()  # of a call that was killed
    collect(Toy(), 30, policy=meanwhile, out=tmp_path)
    collect(Toy(), 20, out=tmp_path)
    assert [part.done for part in load_rollouts(tmp_path).parts] == [30, 20]
    assert not (tmp_path / ".lock").exists()


@pytest.mark.usefixtures("often")
def test_what_was_committed_before_a_stop_can_be_used(tmp_path: Path) -> None:
    with pytest.raises(StopHereError):
        collect(Breaking(80), 100, out=tmp_path)
    part, whole = load_rollouts(tmp_path), collect(Breaking(10_000), 100)
    assert 50 < len(part) <= 80
    for name, column in part.columns.items():
        np.testing.assert_array_equal(column, whole.columns[name][: len(part)])
    # Whole episodes only.
    assert whole.columns["step"][len(part)] == 0


def test_a_stop_before_the_first_commit_leaves_no_rows(tmp_path: Path) -> None:
    with pytest.raises(StopHereError):
        collect(Breaking(5), 100, out=tmp_path)
    with pytest.raises(UserError, match=r"no rows yet.*same call again"):
        load_rollouts(tmp_path)


def test_a_second_collection_adds_its_rows(small: Path) -> None:
    first = content(small)
    rollouts = collect(Toy(), 30, seed=1, out=small)
    rollouts = collect(Toy(), 20, policy="random", out=small)
    assert [part.rows for part in rollouts.parts] == [50, 30, 20]
    assert len(rollouts) == 100 == len(rollouts.columns["reward"])
    for name, data in content(small).items():
        if name != "index.json":
            assert data.startswith(first[name])
    episode, step = rollouts.columns["episode"], rollouts.columns["step"]
    assert np.array_equal(np.cumsum(step == 0) - 1, episode)
    alone = collect(Toy(), 30, seed=1)
    np.testing.assert_array_equal(
        rollouts.columns["observation.image"][50:80], alone.columns["observation.image"]
    )
    # No two parts saw the same, though seeds repeat.
    assert len({row.tobytes() for row in rollouts.columns["state"]}) == 100


def test_the_same_call_again_adds_nothing(small: Path) -> None:
    collect(Toy(), 30, seed=1, out=small)
    before = content(small)
    collect(Toy(), 50, out=small)
    assert content(small) == before


def test_columns_are_memory_maps_that_cannot_be_written(small: Path) -> None:
    rollouts = load_rollouts(small)
    for column in rollouts.columns.values():
        assert isinstance(column, np.memmap)
        assert isinstance(column.base, mmap.mmap | np.memmap)
        assert not column.flags.writeable
    # A map sees what happens to its file.
    path = small / "observation.image.bin"
    path.write_bytes(bytes(1600))
    assert not rollouts.columns["observation.image"].any()


def test_a_large_column_is_not_read_before_it_is_used(small: Path) -> None:
    """4 GB of observations, a hole in the file, are loaded with little memory."""
    rows = 2_000_000
    path = small / "index.json"
    index = read_json(path, "index")
    index["rows"] = rows
    index["parts"] = [{"how": {}, "rows": rows, "done": rows, "episodes": 1}]
    index["columns"] = {"observation.image": {"shape": [2000], "dtype": "|u1"}}
    path.write_text(json.dumps(index))
    with (small / "observation.image.bin").open("r+b") as file:
        file.truncate(rows * 2000)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rollouts = load_rollouts(small)
    image = rollouts.observations()["image"]
    assert image.shape == (rows, 2000)
    assert image[1_234_567].sum() == 0
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


def test_writing_to_a_tensor_leaves_the_files_alone(small: Path) -> None:
    before = content(small)
    rollouts = load_rollouts(small)
    image = rollouts.observations()["image"]
    assert image.dtype == torch.uint8
    image.zero_()
    state = rollouts.state
    assert state is not None
    state.zero_()
    assert content(small) == before
    assert rollouts.observations()["image"].any()


def test_rollouts_in_memory_need_no_folder(small: Path) -> None:
    mapped, copied = load_rollouts(small), load_rollouts(small, in_memory=True)
    for name, column in copied.columns.items():
        assert not isinstance(column, np.memmap)
        assert column.tobytes() == mapped.columns[name].tobytes()
    shutil.rmtree(small)
    assert copied.observations()["image"].shape == (50, 2, 4, 4)


def test_a_progress_bar_shows_only_on_request(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    collect(Toy(), 50, out=tmp_path / "a")
    assert capfd.readouterr() == ("", "")
    collect(Toy(), 50, out=tmp_path / "b", progress=True)
    assert "50/50" in capfd.readouterr().err
