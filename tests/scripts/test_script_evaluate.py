"""The command line that measures cross-modality inference."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from script_runs import Finished, error_line, evaluate, load_script, load_tiny, read

from nexus_rl import load_model, make_model
from nexus_rl.cmi import Judges, Report, evaluate_cmi
from nexus_rl.run_folder import OWN

OPTIONS = ["--device", "cpu", "--threads", "1", "--samples", "2"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Judges of the tiny dataset, trained once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def measured(
    trained: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Where a finished run was measured in full. Do not write into it."""
    folder = tmp_path_factory.mktemp("measured")
    done = run(folder, cache, "--model", trained, "--out", "found", "--frontier")
    assert done.code == 0, done.said
    assert (folder / "found" / "evaluation.md").read_text() in done.said
    return folder / "found"


def run(folder: Path, cache: Path, *arguments: object) -> Finished:
    return evaluate(folder, *OPTIONS, "--cache", cache, *arguments)


def test_a_model_is_measured_in_every_direction(
    measured: Path, trained: Path, cache: Path
) -> None:
    report = Report.from_json((measured / "evaluation.json").read_text())
    assert [row.direction for row in report.rows] == [
        *("image -> image", "image -> label", "label -> image", "label -> label"),
        *("image, label -> image", "image, label -> label"),
    ]
    tiny = load_tiny()
    judges = Judges.of(tiny, cache=cache)
    expected = evaluate_cmi(
        load_model(trained), tiny, samples=2, judges=judges, name=trained.name
    )
    assert (report.rows, report.judges) == (expected.rows, expected.judges)
    assert report.settings == expected.settings
    assert {point.target for point in report.frontier} == {"image"}
    page = (measured / "evaluation.md").read_text()
    assert page.startswith(report.table())
    assert (measured / "evaluation.png").read_bytes().startswith(b"\x89PNG")
    assert not (trained / "evaluation.json").exists()


def test_the_runs_settings_and_losses_are_noted(measured: Path, trained: Path) -> None:
    report = Report.from_json((measured / "evaluation.json").read_text())
    page = (measured / "evaluation.md").read_text()
    noted = report.runs[trained.name]
    lines = (trained / "log.jsonl").read_text().splitlines()
    log = [json.loads(line) for line in lines]
    assert noted["log"] == log
    assert noted["run"]["train"]["epochs"] == 3
    assert "data_dir" not in noted["run"]
    loss = (log[-1]["train/loss"], log[-1]["validation/loss"])
    assert f"| loss | {loss[0]:.3f} | {loss[1]:.3f} |" in page


def test_results_are_in_the_models_folder_and_not_replaced_unasked(
    tmp_path: Path, trained: Path, cache: Path
) -> None:
    shutil.copytree(trained / "best", tmp_path / "best")  # a model without a run
    options = ["--model", "best", "--dataset", "tiny", "--frechet"]
    assert run(tmp_path, cache, *options).code == 0
    first = (tmp_path / "best" / "evaluation.json").read_text()
    report = Report.from_json(first)
    assert report.runs == {} and all(row.n is None for row in report.rows)
    refused = error_line(run(tmp_path, cache, *options, "--seed", "1"))
    assert "best/evaluation.json" in refused and "--overwrite" in refused
    assert (tmp_path / "best" / "evaluation.json").read_text() == first
    assert run(tmp_path, cache, *options, "--overwrite").code == 0
    assert (tmp_path / "best" / "evaluation.json").read_text() == first


def test_results_go_with_the_run_that_is_overwritten() -> None:
    assert set(load_script("evaluate_cmi.py").FILES) <= set(OWN)


def test_several_models_and_chosen_subsets(
    tmp_path: Path, trained: Path, cache: Path
) -> None:
    shutil.copytree(trained, tmp_path / "a")
    shutil.copytree(trained / "best", tmp_path / "b")
    (tmp_path / "a" / "log.jsonl").write_text("")  # stopped in its first epoch
    done = run(
        *(tmp_path, cache, "--model", "a", "b", "--dataset", "tiny", "--out", "both"),
        *("--subsets", "label", "image+label", "--frechet", "pooled"),
    )
    assert done.code == 0, done.said
    report = Report.from_json((tmp_path / "both" / "evaluation.json").read_text())
    assert report.models == ("a", "b")
    assert {row.given for row in report.rows} == {("label",), ("image", "label")}
    assert all(
        (row.mfd_pooled is None) == (row.target == "label") for row in report.rows
    )
    assert {row.mfd_class for row in report.rows} == {None}
    assert list(report.runs) == ["a"]


def test_mistakes_are_one_line(tmp_path: Path, trained: Path, cache: Path) -> None:
    def refused(*arguments: object) -> str:
        return error_line(run(tmp_path, cache, *arguments))

    assert "no model description at nothing" in refused("--model", "nothing", *TINY)
    assert "unknown dataset 'tinny'. Did you mean 'tiny'" in refused(
        "--model", trained, "--dataset", "tinny"
    )
    assert "unknown device 'gpu'" in refused("--model", trained, "--device", "gpu")
    assert "samples" in refused("--model", trained, "--samples", "0")
    assert "unknown modality 'sound'" in refused(
        "--model", trained, "--subsets", "sound+label"
    )
    assert "given twice" in refused("--model", trained, trained)
    assert "does not say what it was trained on: add --dataset" in refused(
        "--model", trained / "best"
    )
    assert list(tmp_path.glob("evaluation*")) == []


TINY = ["--dataset", "tiny"]


def test_other_data_than_a_run_was_trained_on_are_a_transfer(
    tmp_path: Path, trained: Path, staged: Path, cache: Path
) -> None:
    """Shapes agree, so nothing else would tell."""
    shutil.copytree(trained, tmp_path / "run")
    noted = tmp_path / "run" / "run.json"
    noted.write_text(json.dumps(read(noted) | {"dataset": "fashion_mnist"}))
    options = ["--model", "run", trained / "best", *TINY, "--frechet"]
    refused = error_line(run(tmp_path, cache, *options))
    assert "run was trained on fashion_mnist, not on tiny" in refused
    assert "--transfer" in refused
    assert list((tmp_path / "run").glob("evaluation*")) == []
    done = run(tmp_path, cache, *options, "--transfer")
    assert done.code == 0, done.said
    report = Report.from_json((tmp_path / "run" / "evaluation.json").read_text())
    assert report.settings["dataset"] == "tiny"
    assert report.runs["run"]["run"]["dataset"] == "fashion_mnist"
    shutil.copytree(trained, tmp_path / "rebuilt")
    noted = tmp_path / "rebuilt" / "run.json"
    told = read(noted)
    told["trained"]["data"]["image"] = "another"
    noted.write_text(json.dumps(told))
    refused = error_line(run(tmp_path, cache, "--model", "rebuilt", *TINY))
    assert "other rows of tiny than those found here: image differ" in refused
    refused = error_line(run(tmp_path, cache, "--model", staged / "run", *TINY))
    assert "was trained on envs:nexus_rl/MultimodalPendulum-v0" in refused
    shutil.copytree(trained, tmp_path / "tiny")
    refused = error_line(run(tmp_path, cache, "--model", "tiny", "run", "--out", "o"))
    assert "fashion_mnist, tiny: choose --dataset, with --transfer" in refused


def test_models_that_do_not_fit_are_refused(
    tmp_path: Path, cache: Path, staged: Path
) -> None:
    modalities = load_tiny().modalities
    sound = modalities[0].replace(name="sound")
    make_model("nexus", (sound, modalities[1]), width=8).save_pretrained(tmp_path / "m")
    assert "'sound'" in error_line(run(tmp_path, cache, "--model", "m", *TINY))
    message = error_line(run(tmp_path, cache, "--model", staged / "run"))
    assert "MultimodalPendulum" in message and "evaluate_encoder.py" in message
