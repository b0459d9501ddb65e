"""Arguments of environments, and runs from before there were any."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest
from script_runs import STAGED, pretrain, read, same_runs

from nexus_rl import UserError
from nexus_rl.data.rollouts import load_rollouts

HYPERHOT = "nexus_rl/HyperHot-v0"


def test_arguments_are_kept_with_the_data_and_the_run(
    tmp_path: Path, pretrain_args: ModuleType
) -> None:
    short = [*STAGED, "--env", HYPERHOT, "--rows", "250", "--top-epochs", "0"]
    kwargs = ["--env-kwargs", "enemies=2", "time_limit=1"]
    finished = pretrain(tmp_path, *short, "--epochs", "1", *kwargs)
    assert finished.code == 0, finished.said
    name = "hyper_hot_enemies=2_time_limit=1"
    assert f"checkpoint: runs/{name}\n" in finished.said
    rollouts = load_rollouts(tmp_path / "runs" / "data" / f"{name}_250_0")
    assert rollouts.env["kwargs"] == {"enemies": 2, "time_limit": 1}
    folder = tmp_path / "runs" / name
    assert read(folder / "run.json")["env_kwargs"] == {"enemies": 2, "time_limit": 1}
    formats = [m["format"] for m in read(folder / "config.json")["modalities"]]
    assert formats == ["2 frames, 255 on sprites", "2 frames, logarithmic levels"]
    resume = ["--resume", str(folder)]
    assert pretrain_args.parse(resume).env_kwargs == {"enemies": 2, "time_limit": 1}
    pretrain_args.parse([*resume, "--env-kwargs", "time_limit=1", "enemies=2"])
    for other in (["enemies=2"], ["enemies=3", "time_limit=1"], []):
        with pytest.raises(UserError, match="was started with env_kwargs"):
            pretrain_args.parse([*resume, "--env-kwargs", *other])


@pytest.mark.parametrize("begun", ["after an epoch", "at the start", "between"])
def test_runs_from_before_some_of_their_settings_go_on(
    world: Path, staged: Path, begun: str
) -> None:
    for name in ("run", "run_bottoms"):
        run, config = (world / name / f for f in ("run.json", "config.json"))
        older, model = read(run), read(config)
        del older["env_kwargs"]
        for options in (older["model"], older["trained"]["model"], model["model"]):
            del options["upward"], options["alpha"]
        for modality in [*older["trained"]["modalities"], *model["modalities"]]:
            assert modality.pop("format").startswith("2 frames")
        run.write_text(json.dumps(older))
        config.write_text(json.dumps(model))
    if begun == "at the start":
        (world / "run" / "training.pt").unlink()
        (world / "run" / "log.jsonl").unlink()
    if begun == "between":
        shutil.rmtree(world / "run")
    finished = pretrain(world, "--resume", "run")
    assert finished.code == 0, finished.said
    assert same_runs(world, staged)


def test_presets_serve_models_with_fewer_options(pretrain_args: ModuleType) -> None:
    """The environments' preset sets dropout and alignment, which are for Nexus."""
    args = pretrain_args.parse(["--model", "mvae"])
    assert (args.model.model, args.model.rho, args.model.align) == ("mvae", 0.1, 0)
    assert args.model.beta == 0.1 and args.top.top_epochs == 40
    args = pretrain_args.parse(["--model", "muse", "--alpha", "2"])
    assert (args.model.alpha, args.model.beta, args.top.top_epochs) == (2, 0.1, 40)
    args = pretrain_args.parse([])
    assert (args.model.model, args.model.rho, args.model.align) == ("nexus", 0.5, 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "mvae", "--rho", "0.5"], "mvae with levels=2 does not use rho"),
        (["--model", "muse", "--align", "1"], "muse with levels=2 does not use align"),
        (["--model", "gmc", "--beta", "0.3"], "gmc with levels=1 does not use beta"),
        (["--model", "gmc", "--levels", "2"], "gmc has one level only"),
        (["--levels", "1", "--upward", "mean"], "does not use upward"),
    ],
)
def test_options_without_use_are_refused_before_the_data_are_simulated(
    pretrain_args: ModuleType, options: list[str], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        pretrain_args.parse(options)


def test_one_level_is_trained_in_one_stage(pretrain_args: ModuleType) -> None:
    args = pretrain_args.parse(["--model", "gmc"])
    assert (args.model.levels, args.top.top_epochs) == (1, 0)
    assert (args.model.latent_dim, args.model.width, args.train.epochs) == (10, 128, 20)
    assert args.preset == "pendulum"
    args = pretrain_args.parse(["--model", "mmvae", "--levels", "1"])
    assert (args.model.levels, args.top.top_epochs) == (1, 0)
