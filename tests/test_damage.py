"""Files that were cut short or have a flipped bit: refused by name, or the same."""

from __future__ import annotations

import gzip
import importlib
import json
import shutil
import struct
from collections import Counter
from collections.abc import Set
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from nexus_rl import Modality, TrainConfig, UserError, load_model, make_model, train
from nexus_rl.data.idx import read_idx
from nexus_rl.data.rollouts import load_rollouts, sample
from nexus_rl.files import ChangedError, read_json, write_json
from nexus_rl.run_folder import RunFolder
from nexus_rl.tensors import read_tensors, write_tensors

SCRIPTS = Path(__file__).parents[1] / "scripts"
PENDULUM = "envs:nexus_rl/MultimodalPendulum-v0"
VECTORS = tuple(Modality(name, (3,), width=4, latent_dim=2) for name in ("one", "two"))


@pytest.fixture
def reliability(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("reliability_damage")


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of two epochs."""
    model = make_model("nexus", VECTORS, latent_dim=2, width=4)
    noise = torch.Generator().manual_seed(0)
    data = {m.name: torch.rand(20, 3, generator=noise) for m in VECTORS}
    train(model, data, TrainConfig(epochs=2, batch_size=10), out=tmp_path / "run")
    for folder in ("tensorboard", "pictures", "best"):
        shutil.rmtree(tmp_path / "run" / folder)
    return tmp_path / "run"


def read_run(folder: Path) -> Any:
    run, model = RunFolder(folder), load_model(folder)
    parts = [model.config, model.modalities, model.state_dict(), run.read_run()]
    return [*parts, run.read_log(), run.load_state()["model"]]


def check(
    found: dict[str, Counter[str]], harmless: Set[str], seen: Set[str] = frozenset()
) -> None:
    """Every damage is ``harmless``, and is ``seen`` in files of these names."""
    for name, outcomes in found.items():
        assert outcomes.keys() <= harmless, name
    assert {name for name, outcomes in found.items() if outcomes["refused"]} >= seen


def test_every_outcome_is_told_apart(tmp_path: Path, reliability: ModuleType) -> None:
    names = ("ignored", "checked", "vague", "trusted", "parsed")
    for name in names:
        (tmp_path / name).write_text(json.dumps([1.5, 2.5]))

    def load(folder: Path) -> Any:
        text = {name: (folder / name).read_bytes() for name in names}
        if text["checked"] != text["ignored"] and text["checked"] != b"[1.5, 2.5]":
            raise UserError(f"{folder / 'checked'} is damaged")
        if text["vague"] != b"[1.5, 2.5]":
            raise UserError("it is damaged")
        if text["parsed"] != b"[1.5, 2.5]":
            raise KeyError(text["parsed"])
        return {"numbers": [text["trusted"]]}

    found = reliability.damage(tmp_path, load, times=3, seed=0)
    assert [found[name] for name in names] == [
        {outcome: 6}
        for outcome in ("same", "refused", "unnamed", "silent", "traceback")
    ]
    assert (tmp_path / "checked").read_bytes() == b"[1.5, 2.5]"


def test_a_run(run: Path, reliability: ModuleType) -> None:
    files = {path.name for path in run.iterdir()}
    assert files >= {"run.json", "log.jsonl", "training.pt", "config.json"}
    check(reliability.damage(run, read_run, 5, 0), {"same", "refused"}, files)


def test_a_run_from_before_checksums(run: Path, reliability: ModuleType) -> None:
    """Damage to it may be silent, but breaks nothing."""
    for name in ("run.json", "config.json"):
        content = read_json(run / name, "JSON")
        for part in {*content} & {"weights", "tied"}:
            del content[part]
        (run / name).write_text(json.dumps(content))
    found = reliability.damage(run, read_run, 5, 1)
    check(found, {"same", "refused", "silent"}, {"training.pt"})


def test_rollouts(tmp_path: Path, reliability: ModuleType) -> None:
    sample(PENDULUM, 30, seed=1, out=tmp_path / "data")

    def load(folder: Path) -> Any:
        found = load_rollouts(folder)
        return [found.env, *found.columns.values(), *map(asdict, found.parts)]

    files = {path.name for path in (tmp_path / "data").iterdir()}
    found = reliability.damage(tmp_path / "data", load, 5, 0)
    check(found, {"same", "refused"}, files)


def test_images_and_labels(tmp_path: Path, reliability: ModuleType) -> None:
    content = b"\0\0\x08\x03" + struct.pack(">3I", 2, 8, 8) + bytes(range(128))
    (tmp_path / "plain").write_bytes(content)
    (tmp_path / "zipped.gz").write_bytes(gzip.compress(content))
    digest = sha256(content).hexdigest()

    def load(folder: Path) -> Any:
        known = read_idx(folder / "plain", 3, digest)
        return [known, read_idx(folder / "zipped.gz", 3)]

    found = reliability.damage(tmp_path, load, 30, 0)
    check(found, {"same", "refused"}, {"plain", "zipped.gz"})


def test_tensors(tmp_path: Path, reliability: ModuleType) -> None:
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor([1, 2])}
    write_tensors(tmp_path / "them", tensors)
    assert load_file(tmp_path / "them").keys() == tensors.keys()

    def load(folder: Path) -> Any:
        return dict(sorted(read_tensors(folder / "them").items()))

    assert reliability.same(load(tmp_path), tensors)
    found = reliability.damage(tmp_path, load, 60, 0)
    check(found, {"same", "refused"}, {"them"})
    save_file(tensors, tmp_path / "them")  # as older versions wrote it
    assert reliability.same(load(tmp_path), tensors)


def test_results(tmp_path: Path, reliability: ModuleType) -> None:
    from agents import report
    from agents.results import FIELDS, Evaluation
    from nexus_rl.cmi.report import Report, Row

    row = dict(zip(FIELDS, ("me", "blind", "missing", 0, 0, -1.25, 7), strict=True))
    rows = ({**row, "available": {"image": 0.5}},)
    evaluation = Evaluation("E-v0", {"size": 8}, 1, (0,), rows)
    (tmp_path / "evaluation.json").write_text(evaluation.to_json())
    assert report.read(tmp_path) == evaluation
    found = reliability.damage(
        tmp_path, lambda folder: report.read(folder).to_json(), 30, 0
    )
    check(found, {"same", "refused"}, {"evaluation.json"})
    inferred = Row("me", ("image",), "label", "cross", 0.5, None, 0.9)
    text = Report({"samples": 1}, {}, (inferred,), runs={"me": {}}).to_json()
    assert Report.from_json(text).rows == (inferred,)
    with pytest.raises(UserError, match="changed or damaged"):
        Report.from_json(text.replace("0.5", "0.7"))


def test_a_seal_may_be_removed_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "it.json"
    write_json(path, {"a": (1, 2.5), 3: {"b": None}, "content_sha256": "another"})
    assert read_json(path, "thing") == {"a": [1, 2.5], "3": {"b": None}}
    changed = json.loads(path.read_text()) | {"a": [1, 2.6]}
    path.write_text(json.dumps(changed))
    with pytest.raises(ChangedError, match=r"it\.json was changed or damaged"):
        read_json(path, "thing")
    del changed["content_sha256"]
    path.write_text(json.dumps(changed))
    assert read_json(path, "thing", a=list) == changed
    for name in ("b", "3"):
        with pytest.raises(UserError, match=rf"it\.json is no thing.*no {name}"):
            read_json(path, "thing", **{name: list})
