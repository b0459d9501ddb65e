"""Runs in two stages that are interrupted, started again or continued otherwise."""

from __future__ import annotations

import shutil
import signal
import time
from pathlib import Path
from types import ModuleType

import pytest
from script_runs import (
    PENDULUM,
    STAGED,
    TINY,
    Script,
    bottoms,
    equal,
    error_line,
    log_lines,
    pretrain,
    read,
    results,
    same_runs,
    state,
    wait_until,
)

from nexus_rl import UserError, load_model

DATA = "multimodal_pendulum_400_0"


# -- Interrupted -----------------------------------------------------------------


@pytest.mark.parametrize("stage", ["run_bottoms", "run"])
def test_ctrl_c_in_either_stage(
    tmp_path: Path, staged: Path, options: list[str], stage: str
) -> None:
    script = Script("pretrain_nexus.py", options, tmp_path)
    wait_until(lambda: log_lines(tmp_path / stage) == 1)
    time.sleep(0.02)
    script.send(signal.SIGINT)
    stopped = script.finish(20)
    assert stopped.code == 130, stopped.said
    assert stopped.said.endswith("pretrain_nexus.py --resume run\n")
    assert "Traceback" not in stopped.said
    assert state(tmp_path / stage)["epoch"] == 2
    assert (tmp_path / "run").exists() == (stage == "run")
    finished = pretrain(tmp_path, "--resume", "run")
    assert finished.code == 0, finished.said
    assert "checkpoint: run\n" in finished.said
    assert same_runs(tmp_path, staged)


def test_resume_between_the_stages(world: Path, staged: Path) -> None:
    """As after a kill when the bottoms were finished and the top not begun."""
    shutil.rmtree(world / "run")
    finished = pretrain(world, "--resume", "run")
    assert finished.code == 0, finished.said
    assert finished.said.count("epoch 1: loss") == 1
    assert same_runs(world, staged)


# -- Started again ---------------------------------------------------------------


def test_the_same_command_again_is_refused_with_advice_that_works(
    world: Path, staged: Path
) -> None:
    error = error_line(pretrain(world, *STAGED, "--out", "run"))
    assert "run_bottoms already holds" in error
    assert "--resume run," in error and "--overwrite" in error
    assert same_runs(world, staged)
    finished = pretrain(world, "--resume", "run")
    assert finished.code == 0, finished.said
    assert "loss" not in finished.said and "checkpoint: run\n" in finished.said
    assert same_runs(world, staged)


def test_overwrite_replaces_both_stages(world: Path, staged: Path) -> None:
    short = ["--epochs", "1", "--top-epochs", "1", "--seed", "1"]
    finished = pretrain(world, *STAGED, *short, "--out", "run", "--overwrite")
    assert finished.code == 0, finished.said
    for name in ("run", "run_bottoms"):
        assert read(world / name / "run.json")["train"]["seed"] == 1
        assert log_lines(world / name) == 1
        assert not equal(bottoms(world / name), bottoms(staged / name))
    assert equal(bottoms(world / "run"), bottoms(world / "run_bottoms"))


def test_an_overwriting_run_that_was_interrupted_goes_on_as_itself(
    world: Path, staged: Path
) -> None:
    """The old top must not come back as the result of the new run."""
    options = [*STAGED, "--rho", "0.7", "--top-epochs", "1", "--out", "run"]
    script = Script("pretrain_nexus.py", [*options, "--overwrite"], world)
    begun = world / "run_bottoms" / "run.json"
    wait_until(lambda: begun.exists() and read(begun)["model"]["rho"] == 0.7)
    script.send(signal.SIGINT)
    stopped = script.finish(20)
    assert stopped.code == 130, stopped.said
    finished = pretrain(world, "--resume", "run")
    assert finished.code == 0, finished.said
    for name in ("run", "run_bottoms"):
        assert read(world / name / "run.json")["model"]["rho"] == 0.7
        assert read(world / name / "config.json")["model"]["rho"] == 0.7
    assert log_lines(world / "run") == 1


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
def test_other_files_are_found_before_anything_is_replaced(
    world: Path, staged: Path, overwrite: list[str]
) -> None:
    (world / "run" / "run.json").unlink()
    error = error_line(pretrain(world, *STAGED, "--out", "run", *overwrite))
    assert "hold" in error
    assert results(world / "run_bottoms") == results(staged / "run_bottoms")


def test_another_run_in_the_folder_is_found_before_the_bottoms_are_trained(
    world: Path,
) -> None:
    shutil.rmtree(world / "run_bottoms")
    error = error_line(pretrain(world, *STAGED, "--out", "run"))
    assert "run already holds a run" in error and "--overwrite" in error
    assert not (world / "run_bottoms").exists()


# -- Continued as another run ----------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--env", "envs:nexus_rl/HyperHot-v0", f"was started with env {PENDULUM}"),
        ("--dataset", "mnist", "was started with dataset None"),
        ("--preset", "environment", "was started with preset pendulum"),
        ("--env-kwargs", "image_size=16", "was started with env_kwargs {}"),
        ("--rows", "500", "was started with rows 400"),
        ("--rho", "0.7", "was started with model"),
        ("--top-epochs", "3", "was started with top"),
        ("--top-learning-rate", "1", "was started with top"),
        ("--from", "elsewhere", "was started with from None"),
        ("--out", "other", "leave out --out"),
    ],
)
@pytest.mark.parametrize("begun", ["run", "run_bottoms"])
def test_a_changed_field_is_refused_by_name(
    staged: Path,
    tmp_path: Path,
    pretrain_args: ModuleType,
    begun: str,
    option: str,
    value: str,
    message: str,
) -> None:
    shutil.copytree(staged / begun, tmp_path / begun)
    resume = ["--resume", str(tmp_path / "run")]
    with pytest.raises(UserError, match=message):
        pretrain_args.parse([*resume, option, value])
    saved = pretrain_args.parse(resume)
    assert (saved.env, saved.preset, saved.rows) == (PENDULUM, "pendulum", 400)
    assert (saved.train.epochs, saved.train.batch_size) == (2, 16)
    assert (saved.top.top_epochs, saved.top.top_batch_size) == (2, 8)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--seed", "3", "was started with seed 0, not 3"),
        ("--batch-size", "8", "was started with batch_size 16, not 8"),
    ],
)
def test_changed_settings_of_training_are_refused_before_simulating(
    world: Path, staged: Path, option: str, value: str, message: str
) -> None:
    refused = pretrain(world, "--resume", "run", option, value)
    assert message in error_line(refused)
    assert same_runs(world, staged)
    assert [path.name for path in (world / "runs/data").iterdir()] == [DATA]


def test_more_epochs_do_not_part_the_bottoms_from_the_top(
    tmp_path: Path, options: list[str]
) -> None:
    """Bottoms that a top is on are finished: training them more would be in vain."""
    short = ["--epochs", "1", "--top-epochs", "1", "--schedule", "constant"]
    assert pretrain(tmp_path, *options, *short).code == 0
    longer = pretrain(tmp_path, "--resume", "run", "--epochs", "2")
    assert "epochs" in error_line(longer)
    assert equal(bottoms(tmp_path / "run"), bottoms(tmp_path / "run_bottoms"))


def test_the_folder_of_the_bottoms_is_not_a_run_to_resume(world: Path) -> None:
    error = error_line(pretrain(world, "--resume", "run_bottoms"))
    assert error.endswith("--resume run")
    assert not (world / "run_bottoms_bottoms").exists()


def test_a_preset_also_knows_the_sensors_of_a_data_set(tmp_path: Path) -> None:
    stages = ("--top-epochs", "1", "--epochs", "1")
    done = pretrain(tmp_path, *TINY, "--preset", "digits", *stages, "--out", "run")
    assert done.code == 0, done.said
    for folder in ("run", "run_bottoms"):
        by_name = {m.name: m for m in load_model(tmp_path / folder).modalities}
        assert by_name["image"].beta == 0.2
        assert by_name["label"].top_likelihood == "categorical"
