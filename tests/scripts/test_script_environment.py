"""Training on a simulated environment in two stages, from the command line."""

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file
from script_runs import (
    PENDULUM,
    STAGED,
    Script,
    error_line,
    log_lines,
    pretrain,
    read,
    results,
    same_runs,
    state,
    wait_until,
)

from nexus_rl import UserError
from nexus_rl.data.rollouts import load_rollouts

HYPERHOT = "nexus_rl/HyperHot-v0"
DATA = Path("runs/data/multimodal_pendulum_400_0")


@pytest.fixture
def options(staged: Path) -> list[str]:
    """Those of ``staged``, with its data."""
    return [*STAGED, "--data-dir", str(staged / "runs" / "data"), "--out", "run"]


def bottoms(folder: Path) -> dict[str, torch.Tensor]:
    weights = load_file(folder / "model.safetensors")
    found = {name: value for name, value in weights.items() if "bottoms." in name}
    assert found
    return found


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[name], other[name]) for name in one
    )


# -- A whole run -----------------------------------------------------------------


def test_a_run_in_two_stages_says_where_things_are(staged: Path) -> None:
    (output,) = staged.glob("pretrain_nexus.py-*.txt")
    said = output.read_text()
    assert said.startswith("loading torch and the data ...\n")
    assert said.count("epoch 1: loss ") == said.count("epoch 2: loss ") == 2
    assert "checkpoint: run\n" in said
    assert said.endswith("picture:    run/pictures/epoch_002.png\n")
    assert (staged / "run" / "pictures" / "epoch_002.png").exists()
    assert {path.name for path in staged.iterdir() if path.is_dir()} == {
        *("run", "run_bottoms", "runs"),
    }


def test_the_top_is_on_the_frozen_bottoms_of_the_first_stage(staged: Path) -> None:
    assert read(staged / "run" / "config.json")["frozen"] == ["image", "sound"]
    assert read(staged / "run_bottoms" / "config.json")["frozen"] == []
    assert equal(bottoms(staged / "run"), bottoms(staged / "run_bottoms"))
    for name, stage, size in (("run_bottoms", "bottom", 16), ("run", "top", 8)):
        run = read(staged / name / "run.json")
        assert (run["train"]["stage"], run["train"]["batch_size"]) == (stage, size)
        assert (run["env"], run["dataset"], run["preset"], run["rows"]) == (
            *(PENDULUM, None, "pendulum", 400),
        )
        assert log_lines(staged / name) == 2
    # The preset's sensors, not only those of the space.
    modalities = read(staged / "run" / "config.json")["modalities"]
    assert [(m["kind"], m["latent_dim"], m["weight"]) for m in modalities] == [
        *(("frames", 16, 1.0), ("vector", 8, 100)),
    ]


def test_top_epochs_0_trains_jointly_on_the_data_that_are_kept(
    tmp_path: Path, staged: Path, options: list[str]
) -> None:
    kept = {path.name: path.read_bytes() for path in (staged / DATA).iterdir()}
    finished = pretrain(tmp_path, *options, "--top-epochs", "0", "--epochs", "1")
    assert finished.code == 0, finished.said
    assert "| 200/200 [" in finished.said and "| 0/200 [" not in finished.said
    assert finished.said.endswith("picture:    run/pictures/epoch_001.png\n")
    assert not (tmp_path / "run_bottoms").exists()
    assert not (tmp_path / "runs").exists()
    assert {p.name: p.read_bytes() for p in (staged / DATA).iterdir()} == kept
    assert len(load_rollouts(staged / DATA)) == 400
    assert read(tmp_path / "run" / "config.json")["frozen"] == []
    assert read(tmp_path / "run" / "run.json")["train"]["stage"] == "joint"
    record = json.loads((tmp_path / "run" / "log.jsonl").read_text())
    assert {"train/image/kl", "train/sound/top", "train/kl"} <= set(record)


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
    pretrain_nexus: ModuleType,
    begun: str,
    option: str,
    value: str,
    message: str,
) -> None:
    shutil.copytree(staged / begun, tmp_path / begun)
    resume = ["--resume", str(tmp_path / "run")]
    with pytest.raises(UserError, match=message):
        pretrain_nexus.parse([*resume, option, value])
    saved = pretrain_nexus.parse(resume)
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
    assert [path.name for path in (world / "runs/data").iterdir()] == [DATA.name]


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


# -- Mistakes --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--env", "envs:nexus_rl/HyperHott-v0"], "cannot make environment"),
        (["--env", "no_such_module:Thing-v0"], "cannot make environment"),
        (["--env", "Pendulum-v1"], "expected observations in a Dict space"),
        (["--env", PENDULUM, "--dataset", "mnist"], "--env or --dataset, not both"),
        (["--dataset", "mnist", f"--env={PENDULUM}"], "--env or --dataset, not both"),
        (["--rows", "0"], "expected at least one row, got 0"),
        (["--rows", "4"], "too few episodes (3) to set 0.1 of them aside for testing"),
        (["--env", HYPERHOT, "--rows", "9"], "--rows"),
        (["--env-kwargs", "image_sice=16"], "Did you mean 'image_size'?"),
        (["--env-kwargs", "image_size=2"], "with image_size=2: image_size must be"),
        (["--dataset", "mnist", "--env-kwargs", "a=1"], "--env-kwargs are for --env"),
        (["--top-epochs", "-1"], "top_epochs must not be negative"),
    ],
)
def test_mistakes_are_one_line_and_leave_no_run(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    refused = pretrain(tmp_path, *arguments, "--out", "run", "--device", "cpu")
    if "--top-epochs" in arguments:  # the parser of options says so
        assert refused.code == 2 and "Traceback" not in refused.said
        assert message in refused.said
    else:
        assert message in error_line(refused)
    assert not (tmp_path / "run").exists() and not (tmp_path / "run_bottoms").exists()


@pytest.mark.parametrize(
    "arguments", [["--stage", "bottom"], ["--stage", "top"], ["--from", "run_bottoms"]]
)
def test_one_stage_alone_is_not_ignored_where_two_are_trained(
    tmp_path: Path, options: list[str], arguments: list[str]
) -> None:
    error = error_line(pretrain(tmp_path, *options, *arguments))
    assert "--top-epochs 0" in error
    assert not (tmp_path / "run_bottoms").exists()


def test_the_default_is_the_sounding_pendulum(pretrain_nexus: ModuleType) -> None:
    parse = pretrain_nexus.parse
    for arguments, folder in (
        ([], "runs/multimodal_pendulum"),
        (["--env", "envs:nexus_rl/HyperHot-v0"], "runs/hyper_hot"),
        (["--dataset", "mnist"], "runs/mnist"),
        (["--out", "elsewhere"], "elsewhere"),
    ):
        assert parse(arguments).folder == Path(folder)
    assert parse([]).env == PENDULUM
    assert parse(["--dataset", "mnist"]).env is None


# -- Several processes -----------------------------------------------------------


def test_two_processes_learn_an_environment_in_two_stages(
    tmp_path: Path, together: list[dict[str, str]]
) -> None:
    short = [*STAGED, "--epochs", "1", "--top-epochs", "1", "--out", "run"]
    both = [
        Script("pretrain_nexus.py", short, tmp_path, environment)
        for environment in together
    ]
    finished = [script.finish() for script in both]
    assert [end.code for end in finished] == [0, 0], finished
    assert "checkpoint: run\n" in finished[0].said
    assert "checkpoint" not in finished[1].said
    assert equal(bottoms(tmp_path / "run"), bottoms(tmp_path / "run_bottoms"))
    assert len(load_rollouts(tmp_path / DATA)) == 400
