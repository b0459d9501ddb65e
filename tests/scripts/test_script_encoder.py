"""The command line that measures what a latent knows of the true state."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from statistics import mean
from types import ModuleType
from typing import Any

import gymnasium as gym
import pytest
import torch
from dial_world import write_mhd, write_mnist
from matplotlib.figure import Figure
from script_runs import PENDULUM, error_line, evaluate_encoder, load_script

from nexus_rl import cli, load_model, make_model
from nexus_rl.data.rollouts import gather
from nexus_rl.files import read_json
from nexus_rl.modality import PAPER
from nexus_rl.probes import probe, samples
from nexus_rl.spaces import modalities_from_env

OPTIONS = ["--rows", "300", "--device", "cpu", "--threads", "1"]
SUBSETS = [["image"], ["sound"], ["image", "sound"]]


@pytest.fixture(scope="module")
def evaluate_encoder_module() -> ModuleType:
    return load_script("evaluate_encoder.py")


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory, staged: Path) -> Path:
    """The folder of results of two models. Do not write into it."""
    folder = tmp_path_factory.mktemp("encoder")
    shutil.copytree(staged / "run", folder / "run")
    other = make_model("nexus", load_model(folder / "run").modalities, width=16)
    other.save_pretrained(folder / "other")
    models = ["--model", "run", "other"]
    done = evaluate_encoder(folder, *OPTIONS, *models, "--out", "found")
    assert done.code == 0, done.said
    assert (folder / "found" / "probe.md").read_text() in done.said
    assert done.said.endswith("plot: found/probe.png\n")
    return folder / "found"


def read(folder: Path) -> dict[str, Any]:
    result: dict[str, Any] = json.loads((folder / "probe.json").read_text())
    return result


def over_models(result: dict[str, Any], subset: int, field: str) -> list[list[float]]:
    """The figures of a subset, by state variable and then by model."""
    rows = [model["rows"][subset] for model in result["models"]]
    assert [row["given"] for row in rows] == [SUBSETS[subset]] * len(rows)
    return [list(values) for values in zip(*(row[field] for row in rows), strict=True)]


def test_the_json_holds_the_figures_of_every_model(found: Path) -> None:
    result, folder = read(found), found.parent
    assert (result["env"], result["rows"], result["seed"]) == (PENDULUM, 300, 1000)
    assert len(result["models"]) == 2
    rollouts = gather(PENDULUM, 300, seed=1000)
    # A fifth of the episodes is for testing.
    test = torch.from_numpy(rollouts.columns["episode"] % 5 == 0)
    state = rollouts.state
    assert state is not None
    parts = [
        ({k: x[rows] for k, x in rollouts.observations().items()}, state[rows])
        for rows in (~test, test)
    ]
    for name, model in zip(("run", "other"), result["models"], strict=True):
        config = json.loads((folder / name / "config.json").read_text())["model"]
        assert model["config"] == config
        rows = probe(load_model(folder / name), parts[0], parts[1], seed=1000)
        for row, expected in zip(model["rows"], rows, strict=True):
            assert row["given"] == list(expected.given)
            assert row["r2"] == pytest.approx(expected.r2, abs=1e-4)
            assert row["ridge_r2"] == pytest.approx(expected.ridge_r2, abs=1e-4)
            assert row["distance"] == pytest.approx(expected.distance, abs=1e-4)
    assert [row["given"] for row in result["models"][0]["rows"]] == SUBSETS


def test_the_table_has_the_mean_and_the_worst_of_the_json(found: Path) -> None:
    result, page = read(found), (found / "probe.md").read_text()
    assert "over 2 models" in page and PENDULUM in page
    assert "latent_dim 10, rho 0.5" in page and "None" not in page
    lines = [line for line in page.splitlines() if line.startswith("| ")]
    assert result["state"] == ["cos", "sin", "velocity"]
    assert lines[0] == (
        "| given | cos | sin | velocity | ridge: cos | ridge: sin | ridge: velocity "
        "| distance |"
    )
    assert len(lines) == 2 + len(SUBSETS)
    for k, given in enumerate(SUBSETS):
        cells = [", ".join(given)]
        for values in over_models(result, k, "r2"):
            cells.append(f"{mean(values):.4f} ({min(values):.4f})")
        cells += [f"{mean(x):.3f}" for x in over_models(result, k, "ridge_r2")]
        far = [model["rows"][k]["distance"] for model in result["models"]]
        cells.append(f"{mean(far):.3f} ({max(far):.3f})")
        assert lines[2 + k] == "| " + " | ".join(cells) + " |"


def test_the_plot_has_the_means_of_the_json(
    found: Path,
    evaluate_encoder_module: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        drawn.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", keep)
    result = read(found)
    # The file is what the JSON gives, and that is what the JSON says.
    assert evaluate_encoder_module.plot(result) == (found / "probe.png").read_bytes()
    (figure,) = drawn
    left, right = figure.axes

    def heights(bars: Iterable[Any]) -> list[float]:
        return [bar.get_height() for bar in bars]

    assert len(left.containers) == 3
    for variable, bars in enumerate(left.containers):
        expected = [mean(over_models(result, k, "r2")[variable]) for k in (0, 1, 2)]
        assert heights(bars) == pytest.approx(expected)
    distances = [
        mean(model["rows"][k]["distance"] for model in result["models"])
        for k in range(3)
    ]
    assert heights(right.containers[0]) == pytest.approx(distances)
    for axes in (left, right):
        labels = [label.get_text() for label in axes.get_xticklabels()]
        assert labels == ["image", "sound", "image\nsound"]


def test_one_model_gets_its_results_in_its_own_folder(
    tmp_path: Path, staged: Path, found: Path
) -> None:
    shutil.copytree(staged / "run", tmp_path / "run")
    done = evaluate_encoder(tmp_path, *OPTIONS, "--model", "run")
    assert done.code == 0, done.said
    alone, both = read(tmp_path / "run"), read(found)
    assert alone["models"] == both["models"][:1]  # and the same again
    page = (tmp_path / "run" / "probe.md").read_text()
    assert PENDULUM in page
    assert "worst" not in page  # of one
    assert f"| image | {alone['models'][0]['rows'][0]['r2'][0]:.4f} |" in page
    assert (tmp_path / "run" / "probe.png").read_bytes().startswith(b"\x89PNG")


def test_mistakes_are_one_line(tmp_path: Path, staged: Path, trained: Path) -> None:
    def refused(*arguments: object) -> str:
        error = error_line(evaluate_encoder(tmp_path, *OPTIONS, *arguments))
        files = [p for p in tmp_path.iterdir() if not p.name.endswith(".txt")]
        assert files == []
        return error

    error = refused("--model", trained)
    assert "was not trained on an environment" in error and "--env" in error
    assert "no training run at nothing" in refused("--model", "nothing")
    run = ("--model", staged / "run", "--out", "found")
    assert "cannot make environment" in refused(*run, "--env", "envs:nexus_rl/Hot-v0")
    assert "Dict space" in refused(*run, "--env", "Pendulum-v1")
    assert "unknown device 'gpu'" in refused(*run, "--device", "gpu")
    bottoms = ("--model", staged / "run_bottoms", "--out", "found")
    assert "run_bottoms holds bottoms only" in refused(*bottoms)
    # Of the second model too, before anything is written.
    both = ("--model", staged / "run", "nothing", "--out", "found")
    assert "no model description at nothing" in refused(*both)


@pytest.mark.parametrize(
    ("model", "env"),
    [("run", "envs:nexus_rl/HyperHot-v0"), ("trained", PENDULUM)],
)
def test_a_model_that_does_not_fit_the_environment(
    tmp_path: Path, staged: Path, trained: Path, model: str, env: str
) -> None:
    folder = trained if model == "trained" else staged / model
    options = [*OPTIONS, "--model", folder, "--env", env, "--out", "found"]
    error = error_line(evaluate_encoder(tmp_path, *options))
    assert "the model does not fit the environment" in error
    assert not (tmp_path / "found").exists()


def test_readings_in_another_format_are_refused_with_both_sides(
    tmp_path: Path, staged: Path
) -> None:
    other = ["--env", "nexus_rl/MultimodalPendulumPublished-v0", "--out", "found"]
    refused = evaluate_encoder(tmp_path, *OPTIONS, "--model", staged / "run", *other)
    assert "the model does not fit the environment" in error_line(refused)
    assert "linear pitch" in refused.said and "logarithmic pitch" in refused.said
    assert refused.said.count("<- the formats differ") == 2
    assert not (tmp_path / "found").exists()


@pytest.fixture
def published(tmp_path: Path, staged: Path) -> Path:
    """A copy of ``staged``'s run that says it was trained with ``published=True``."""
    shutil.copytree(staged / "run", tmp_path / "run")
    for name in ("run.json", "config.json"):
        path = tmp_path / "run" / name
        told = read_json(path, "JSON")
        for modality in told.get("modalities", ()):
            modality["format"] = ""
        if name == "run.json":
            told["env_kwargs"] = {"published": True}
        path.write_text(json.dumps(told))
    return tmp_path / "run"


def test_a_model_of_other_modalities_beside_a_sensor(tmp_path: Path) -> None:
    kwargs = {"folder": write_mhd(tmp_path / "data")}
    model = make_model("nexus", [*PAPER.values()], width=16, latent_dim=4, seed=1)
    model.save_pretrained(tmp_path / "model")
    dial = ["--model", "model", "--out", "found", "--env", "nexus_rl/DigitDial-v0"]
    dial += ["--env-kwargs", *cli.show_kwargs(kwargs)]
    error = error_line(evaluate_encoder(tmp_path, *OPTIONS, *dial))
    assert "the model does not fit the environment" in error
    differ = ["--append", "position", "--absent", "label"]
    done = evaluate_encoder(tmp_path, *OPTIONS, *dial, *differ)
    assert done.code == 0, done.said
    assert "probes fitted with all sensors, which see position too. dist" in done.said
    (told,) = read(tmp_path / "found")["models"]
    assert len(told["rows"]) == 7 and told["rows"][-1]["distance"] == 0
    for row in told["rows"]:
        assert "label" not in row["given"] and "position" not in row["given"]
        # The pointer, whatever is missing; the untrained latent shifts a little.
        assert min(row["ridge_r2"][2:]) > 0.5
    assert min(told["rows"][-1]["ridge_r2"][2:]) > 0.95


def test_probes_are_fitted_on_recordings_and_tested_on_others(tmp_path: Path) -> None:
    kwargs = {"folder": write_mhd(write_mnist(tmp_path / "data")), "split": "test"}
    model = make_model("nexus", [*PAPER.values()], width=16, latent_dim=4, seed=1)
    model.save_pretrained(tmp_path / "model")
    dial = ["--model", "model", "--env", "nexus_rl/DigitDial-v0", "--out", "found"]
    dial += ["--append", "position", "--absent", "label", "--env-kwargs"]
    dial += cli.show_kwargs(kwargs)
    rows = {}
    for split in ("train", "test"):
        crossed = [*OPTIONS, *dial, "--fit-kwargs", f"split={split}"]
        done = evaluate_encoder(tmp_path, *crossed)
        assert done.code == 0, done.said
        assert f"with all sensors, where split={split}, which see" in done.said
        rows[split] = read(tmp_path / "found")["models"][0]["rows"]
    assert evaluate_encoder(tmp_path, *OPTIONS, *dial).code == 0
    # Fitting where it is tested is what happens without the option.
    assert read(tmp_path / "found")["models"][0]["rows"] == rows["test"]
    assert rows["train"] != rows["test"]
    crossed = [*OPTIONS, *dial, "--fit-kwargs", "data=mnist"]
    assert "must leave the sensors" in error_line(evaluate_encoder(tmp_path, *crossed))


@pytest.mark.parametrize(
    ("options", "kwargs"),
    [
        ([], {"published": True}),
        (["--env-kwargs", "published=false"], {"published": False}),
        (["--env", PENDULUM], {}),
    ],
)
def test_the_arguments_are_those_of_the_run_if_no_others_are_given(
    tmp_path: Path, published: Path, options: list[str], kwargs: dict[str, bool]
) -> None:
    done = evaluate_encoder(tmp_path, *OPTIONS, "--model", published, *options)
    assert done.code == 0, done.said
    result = read(published)
    assert (result["env"], result["env_kwargs"]) == (PENDULUM, kwargs)
    said = (published / "probe.md").read_text()
    assert ("published=true" in said) == kwargs.get("published", False)
    fit, test = samples(gym.make(PENDULUM, **kwargs), 300, seed=1000)
    expected = probe(load_model(published), fit, test, seed=1000)
    assert result["models"][0]["rows"][0]["r2"] == pytest.approx(
        expected[0].r2, abs=1e-4
    )


def test_a_run_from_before_arguments(tmp_path: Path, published: Path) -> None:
    run = read_json(published / "run.json", "run")
    del run["env_kwargs"]
    (published / "run.json").write_text(json.dumps(run))
    done = evaluate_encoder(tmp_path, *OPTIONS, "--model", published)
    assert done.code == 0, done.said
    assert read(published)["env_kwargs"] == {}


def test_an_environment_without_a_state_is_refused_at_once(tmp_path: Path) -> None:
    name = "silent_env:nexus_rl_tests/Silent-v0"
    model = make_model("nexus", modalities_from_env(gym.make(name)), width=8)
    model.save_pretrained(tmp_path / "model")
    options = [*OPTIONS, "--model", "model", "--env", name, "--out", "found"]
    error = error_line(evaluate_encoder(tmp_path, *options))
    assert "Silent-v0 does not tell its true state" in error
    assert not (tmp_path / "found").exists()


def test_a_few_rows_that_leave_a_part_empty(tmp_path: Path, staged: Path) -> None:
    options = [*OPTIONS, "--model", staged / "run", "--rows", "2", "--out", "found"]
    assert "rows" in error_line(evaluate_encoder(tmp_path, *options))
