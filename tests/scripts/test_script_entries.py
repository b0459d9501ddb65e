"""Entries that nobody needs, on the command lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import pytest
import tyro

from nexus_rl.errors import UserError
from nexus_rl.files import write_json

ENV = "labelled_env:nexus_rl_tests/Labelled-v0"
IGNORE = ["--ignore", "mission", "buttons"]


def test_ignored_entries_stay_away_from_data_models_and_agents(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    module_of: Callable[[str], ModuleType],
) -> None:
    monkeypatch.chdir(tmp_path)
    pretraining = module_of("pretrain_nexus")
    command = ["--env", ENV, "--rows", "90"]
    with pytest.raises(UserError, match="--ignore on the command line"):
        pretraining.load_data(pretraining.parse(command))
    args = pretraining.parse([*command, *IGNORE])
    data = pretraining.load_data(args)
    assert {m.name for m in data.modalities} == {"way", "right", "left"}
    assert args.folder.name == "labelled_without_buttons_mission"
    (kept,) = (tmp_path / "runs" / "data").iterdir()
    assert kept.name == "labelled_without_buttons_mission_90_0"
    one = pretraining.parse(["--rows", "40", "--ignore", "image"])
    assert pretraining.load_data(one).modalities[0].name == "sound"
    # A run that is continued keeps them, and what is told of it need not name them.
    write_json(Path("run/run.json"), {**args.notes, "train": asdict(args.train)})
    assert pretraining.parse(["--resume", "run"]).ignore == ("mission", "buttons")
    with pytest.raises(UserError, match="was started with ignore"):
        pretraining.parse(["--resume", "run", "--ignore", "mission"])
    probing = module_of("evaluate_encoder")
    probes = probing.Args(model=(Path("run"),))
    assert probing.environment_of(probes) == (ENV, {}, ("mission", "buttons"))
    agents = module_of("train_agent")
    given = tyro.cli(agents.Args, args=["--env", ENV, *IGNORE])
    assert given.config.task.ignore == ("mission", "buttons")
    with pytest.raises(UserError, match="so is --ignore"):
        pretraining.parse(["--dataset", "mnist", "--ignore", "image"])
