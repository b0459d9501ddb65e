"""The command line that trains, from its first line to its last."""

from __future__ import annotations

import json
import random
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from script_runs import (
    TINY,
    Script,
    log_lines,
    pretrain,
    results,
    state,
    wait_until,
)


def test_a_run_says_what_it_does_and_where_things_are(trained: Path) -> None:
    (output,) = trained.parent.glob("pretrain_nexus.py-*.txt")
    said = output.read_text()
    assert said.startswith("loading torch and the data ...\n")
    for epoch in (1, 2, 3):
        assert f"epoch {epoch}: loss " in said
    assert "checkpoint: run\n" in said
    assert "picture:    run/pictures/epoch_003.png\n" in said
    assert (trained / "pictures" / "epoch_003.png").exists()


def test_run_json_holds_all_that_was_asked_for(trained: Path) -> None:
    run = json.loads((trained / "run.json").read_text())
    assert (run["dataset"], run["preset"], run["from"]) == ("tiny", "paper", None)
    assert (run["model"]["width"], run["train"]["batch_size"]) == (16, 4)


# -- Ctrl-C ----------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_in_the_middle_of_an_epoch(
    tmp_path: Path, trained: Path, number: signal.Signals
) -> None:
    run = tmp_path / "run"
    script = Script("pretrain_nexus.py", [*TINY, "--out", "run"], tmp_path)
    wait_until(lambda: log_lines(run) == 1)
    time.sleep(random.Random(number).uniform(0.05, 0.2))
    script.send(number)
    stopped = script.finish(10)
    assert stopped.code == 130, stopped.said
    assert "interrupted and saved; go on with: " in stopped.said
    assert stopped.said.endswith("pretrain_nexus.py --resume run\n")
    assert "Traceback" not in stopped.said
    saved = state(run)
    assert saved["epoch"] == 2 and 0 < saved["step"] < 54
    finished = pretrain(tmp_path, "--resume", "run")
    assert finished.code == 0, finished.said
    assert "checkpoint: run\n" in finished.said
    assert results(run) == results(trained)


# -- Resuming --------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path, trained: Path) -> Path:
    """A finished run to go on with."""
    return Path(shutil.copytree(trained, tmp_path / "run"))


def test_resuming_with_more_epochs(tmp_path: Path, run: Path) -> None:
    finished = pretrain(tmp_path, "--resume", "run", "--epochs", "4")
    assert finished.code == 0, finished.said
    assert "epoch 4: loss" in finished.said
    assert "epoch 3: loss" not in finished.said
    assert log_lines(run) == 4


def test_resuming_a_finished_run(tmp_path: Path, run: Path, trained: Path) -> None:
    finished = pretrain(tmp_path, "--resume", "run")
    assert finished.code == 0, finished.said
    assert "loss" not in finished.said
    assert results(run) == results(trained)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--seed", "3", "was started with seed 0, not 3"),
        ("--batch-size", "8", "was started with batch_size 4, not 8"),
        ("--rho", "0.7", "was started with model"),
        ("--dataset", "mnist", "was started with dataset tiny"),
        ("--preset", "demo", "was started with preset paper"),
        ("--out", "other", "leave out --out"),
    ],
)
def test_resuming_as_another_run_is_refused_by_name(
    tmp_path: Path, run: Path, trained: Path, option: str, value: str, message: str
) -> None:
    refused = pretrain(tmp_path, "--resume", "run", option, value)
    assert refused.code == 2, refused.said
    assert message in refused.said and "Traceback" not in refused.said
    assert results(run) == results(trained)


def test_a_folder_with_another_run(tmp_path: Path, run: Path, trained: Path) -> None:
    refused = pretrain(tmp_path, *TINY, "--out", "run")
    assert refused.code == 2
    assert "--resume run" in refused.said and "--overwrite" in refused.said
    assert results(run) == results(trained)
    replaced = pretrain(tmp_path, *TINY, "--out", "run", "--overwrite", "--epochs", "1")
    assert replaced.code == 0, replaced.said
    assert log_lines(run) == 1


def test_a_device_that_is_not_there_leaves_nothing_behind(tmp_path: Path) -> None:
    """Otherwise the corrected command would be refused: the folder holds a run."""
    device = f"cuda:{torch.cuda.device_count()}"
    refused = pretrain(tmp_path, *TINY, "--out", "run", "--device", device)
    assert refused.code == 2, refused.said
    assert f"device '{device}' is not there" in refused.said
    assert "Traceback" not in refused.said
    assert not (tmp_path / "run").exists()


def test_an_unknown_dataset_gets_a_suggestion(tmp_path: Path) -> None:
    refused = pretrain(tmp_path, "--dataset", "fashion_mnits", "--out", "run")
    assert refused.code == 2
    assert (
        "unknown dataset 'fashion_mnits'. Did you mean 'fashion_mnist'" in refused.said
    )
    assert "Traceback" not in refused.said
    assert not (tmp_path / "run").exists()


# -- Stages ----------------------------------------------------------------------


def bottoms(folder: Path) -> dict[str, torch.Tensor]:
    weights = load_file(folder / "model.safetensors")
    return {name: value for name, value in weights.items() if "bottoms." in name}


def test_the_top_is_trained_on_bottoms_of_another_run(tmp_path: Path) -> None:
    short = [*TINY, "--epochs", "1"]
    first = pretrain(tmp_path, *short, "--stage", "bottom", "--out", "bottoms")
    assert first.code == 0, first.said
    arguments = [*short, "--stage", "top", "--from", "bottoms", "--seed", "5"]
    second = pretrain(tmp_path, *arguments, "--out", "top")
    assert second.code == 0, second.said
    before, after = bottoms(tmp_path / "bottoms"), bottoms(tmp_path / "top")
    assert all(torch.equal(before[name], after[name]) for name in before)
    config = json.loads((tmp_path / "top" / "config.json").read_text())
    assert config["frozen"] == ["image", "label"]
    # It goes on without the folder that the bottoms came from.
    shutil.rmtree(tmp_path / "bottoms")
    longer = pretrain(tmp_path, "--resume", "top", "--epochs", "2")
    assert longer.code == 0, longer.said
    assert log_lines(tmp_path / "top") == 2
    after = bottoms(tmp_path / "top")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_top_needs_bottoms(tmp_path: Path) -> None:
    for extra, message in (
        ([], "--stage top needs the model with the bottoms: --from FOLDER"),
        (["--from", "nothing"], "no model description at nothing"),
    ):
        refused = pretrain(tmp_path, *TINY, "--stage", "top", "--out", "run", *extra)
        assert refused.code == 2, refused.said
        assert message in refused.said and "Traceback" not in refused.said
        assert not (tmp_path / "run").exists()


# -- Several processes -----------------------------------------------------------


def test_two_processes_started_like_torchrun_does(
    tmp_path: Path, together: list[dict[str, str]]
) -> None:
    short = [*TINY, "--epochs", "1", "--batch-size", "32", "--learning-rate", "1e-5"]
    both = [
        Script("pretrain_nexus.py", [*short, "--out", "run"], tmp_path, environment)
        for environment in together
    ]
    finished = [script.finish() for script in both]
    assert [end.code for end in finished] == [0, 0], finished
    assert "epoch 1: loss" in finished[0].said and "checkpoint" in finished[0].said
    assert "epoch" not in finished[1].said and "checkpoint" not in finished[1].said
    (record,) = map(json.loads, (tmp_path / "run/log.jsonl").read_text().splitlines())
    alone = pretrain(tmp_path, *short, "--out", "alone")
    assert alone.code == 0, alone.said
    expected = json.loads((tmp_path / "alone" / "log.jsonl").read_text())
    assert record == pytest.approx(expected, rel=1e-3)
