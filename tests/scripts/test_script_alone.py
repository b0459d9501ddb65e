"""MHD from the command line: the sound learns alone before everything else."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest
from mhd_world import sounds_in, write_strokes
from script_runs import Script, error_line, log_lines, pretrain, state, wait_until

from nexus_rl import load_model
from nexus_rl.data import load_dataset
from nexus_rl.data.mhd.build import Options, build

DATA = ["--dataset", "mhd", "--data-dir", "mhd"]
MHD = [
    *(*DATA, "--epochs", "2", "--alone-epochs", "3", "--out", "run"),
    *("--width", "16", "--batch-size", "16", "--device", "cpu", "--threads", "1"),
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a model of MHD was trained: run, run_sound, and the data in mhd."""
    root = tmp_path_factory.mktemp("alone")
    strokes, sounds = write_strokes(root / "uji.txt"), sounds_in(root)
    build(root / "mhd", strokes, sounds, Options(120, 20))
    finished = pretrain(root, *MHD)
    assert finished.code == 0, finished.said
    return root


def test_the_sound_learns_each_recording_once_and_is_frozen(world: Path) -> None:
    alone, whole = load_model(world / "run_sound" / "best"), load_model(world / "run")
    assert [m.name for m in alone.modalities] == ["sound"]
    assert state(world / "run_sound")["epoch"] == 4  # of 3 epochs, the next
    assert whole.config.latent_dim == 32 and whole.config.rho == 0.2
    own = whole.bottoms["sound"].state_dict()
    for name, weights in alone.bottoms["sound"].state_dict().items():
        assert weights.equal(own[name])
    assert {n for n, b in whole.bottom_items() if b.frozen} == {"sound"}
    dataset = load_dataset("mhd", world / "mhd")
    rows = dataset.train["sound"]
    assert len(dataset.once("sound").train["sound"]) == len(rows.unique(dim=0)) < 120


@pytest.mark.parametrize("stopped_in", ["run_sound", "run"])
def test_interrupted_runs_go_on_to_the_same_end(
    world: Path, tmp_path: Path, stopped_in: str
) -> None:
    shutil.copytree(world / "mhd", tmp_path / "mhd")
    script = Script("pretrain_nexus.py", MHD, tmp_path)
    wait_until(lambda: log_lines(tmp_path / stopped_in) == 1)
    script.send(signal.SIGINT)
    assert script.finish(60).code == 130
    finished = pretrain(tmp_path, "--resume", "run")
    assert finished.code == 0, finished.said
    ours = load_model(tmp_path / "run").state_dict()
    theirs = load_model(world / "run").state_dict()
    assert all(value.equal(theirs[name]) for name, value in ours.items())


def test_without_epochs_alone_the_sound_learns_with_the_others(
    world: Path, tmp_path: Path
) -> None:
    shutil.copytree(world / "mhd", tmp_path / "mhd")
    finished = pretrain(tmp_path, *MHD, "--alone-epochs", "0")
    assert finished.code == 0, finished.said
    assert not (tmp_path / "run_sound").exists()
    assert not any(b.frozen for _, b in load_model(tmp_path / "run").bottom_items())


def test_parts_and_wrong_uses_are_told(world: Path) -> None:
    def told(*arguments: str) -> str:
        return error_line(pretrain(world, *arguments))

    assert told("--resume", "run_sound").endswith("go on with --resume run")
    assert "run_sound already holds" in told(*MHD)
    assert "names no bottom" in told("--dataset", "tiny", "--alone-epochs", "1")
    assert "not be negative" in told(*MHD, "--alone-epochs", "-1")
    assert "not for top or one level" in told(*MHD, "--levels", "1")
