"""The command line that measures cross-modality inference."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from script_runs import (
    evaluate,
    load_tiny,
)

from nexus_rl import load_model, make_model
from nexus_rl.cmi.accuracy import label_accuracy

OPTIONS = ["--dataset", "tiny", "--device", "cpu", "--threads", "1", "--samples", "2"]


def test_the_table_and_the_json_agree_on_every_subset(
    tmp_path: Path, trained: Path
) -> None:
    done = evaluate(tmp_path, *OPTIONS, "--model", trained, "--out", "found")
    assert done.code == 0, done.said
    found = json.loads((tmp_path / "found" / "evaluation.json").read_text())
    page = (tmp_path / "found" / "evaluation.md").read_text()
    rows = found["accuracy"]
    assert [row["given"] for row in rows] == [["image"], ["label"], ["image", "label"]]
    assert (found["dataset"], found["samples"], found["seed"]) == ("tiny", 2, 0)
    model, test = load_model(trained), load_tiny().test
    for row in rows:
        sampled, means = 100 * row["sampled"], 100 * row["means"]
        given = ", ".join(row["given"])
        assert f"| {given} | label | {sampled:.1f} | {means:.1f} |\n" in page
        expected = label_accuracy(model, test, "label", row["given"], samples=2)
        assert (row["sampled"], row["means"]) == expected
    assert page in done.said
    assert not (trained / "evaluation.json").exists()
    # The run's settings and its last losses are noted with the numbers.
    log = [
        json.loads(line) for line in (trained / "log.jsonl").read_text().splitlines()
    ]
    assert found["log"] == log
    assert found["run"]["train"]["epochs"] == 3
    loss = (log[-1]["train/loss"], log[-1]["validation/loss"])
    assert f"| loss | {loss[0]:.3f} | {loss[1]:.3f} |" in page


def test_the_results_are_in_the_models_folder_by_default(
    tmp_path: Path, trained: Path
) -> None:
    shutil.copytree(trained / "best", tmp_path / "best")  # a model without a run
    done = evaluate(tmp_path, *OPTIONS, "--model", "best")
    assert done.code == 0, done.said
    first = (tmp_path / "best" / "evaluation.json").read_text()
    assert "run" not in json.loads(first)
    evaluate(tmp_path, *OPTIONS, "--model", "best")
    assert (tmp_path / "best" / "evaluation.json").read_text() == first


def refused(tmp_path: Path, *arguments: object) -> str:
    done = evaluate(tmp_path, *OPTIONS, *arguments)
    assert done.code == 2, done.said
    errors = [line for line in done.said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and "Traceback" not in done.said, done.said
    return errors[0]


def test_mistakes_are_one_line(tmp_path: Path, trained: Path) -> None:
    assert "no model description at nothing" in refused(tmp_path, "--model", "nothing")
    assert "unknown dataset 'tinny'. Did you mean 'tiny'" in refused(
        tmp_path, "--model", trained, "--dataset", "tinny"
    )
    assert "unknown device 'gpu'" in refused(
        tmp_path, "--model", trained, "--device", "gpu"
    )
    assert "samples" in refused(tmp_path, "--model", trained, "--samples", "0")


def test_a_model_of_another_dataset_is_refused(tmp_path: Path) -> None:
    modalities = load_tiny().modalities
    sound = modalities[0].replace(name="sound")
    make_model("nexus", (sound, modalities[1]), width=8).save_pretrained(tmp_path / "m")
    assert "sound" in refused(tmp_path, "--model", "m")


def test_a_run_that_was_stopped_in_its_first_epoch(
    tmp_path: Path, trained: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    (run / "log.jsonl").write_text("")
    done = evaluate(tmp_path, *OPTIONS, "--model", "run")
    assert done.code == 0, done.said
    assert len(json.loads((run / "evaluation.json").read_text())["accuracy"]) == 3
