"""Files that were cut short or have a flipped bit: refused by name, or the same."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nexus_rl import UserError

SCRIPTS = Path(__file__).parents[1] / "scripts"


@pytest.fixture
def reliability(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("reliability_damage")


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
