"""Training on a simulated environment in two stages, from the command line."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest
from script_runs import (
    PENDULUM,
    STAGED,
    Script,
    bottoms,
    equal,
    error_line,
    log_lines,
    pretrain,
    read,
)

from nexus_rl.data.rollouts import load_rollouts

HYPERHOT = "nexus_rl/HyperHot-v0"
DATA = Path("runs/data/multimodal_pendulum_400_0")


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


def test_the_default_is_the_sounding_pendulum(pretrain_args: ModuleType) -> None:
    parse = pretrain_args.parse
    for arguments, folder in (
        ([], "runs/multimodal_pendulum"),
        (["--env", "envs:nexus_rl/HyperHot-v0"], "runs/hyper_hot"),
        (["--dataset", "mnist"], "runs/mnist"),
        (["--out", "elsewhere"], "elsewhere"),
    ):
        assert parse(arguments).folder == Path(folder)
    assert parse([]).env == PENDULUM
    assert parse(["--dataset", "mnist"]).env is None


def test_environments_take_one_thread_unless_told_otherwise(
    staged: Path, trained: Path, pretrain_args: ModuleType
) -> None:
    parse = pretrain_args.parse
    for arguments, threads in (
        ([], 1),
        (["--threads", "0"], 0),
        (["--dataset", "mnist"], 0),
        (["--resume", str(staged / "run")], 1),
        (["--resume", str(trained)], 0),
    ):
        assert parse(arguments).threads == threads


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
