"""A model's two files are replaced as one: whenever it is killed, or the disk full."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tiny import LABEL, VECTOR, batch_of, make

from nexus_rl import UserError, load_model
from nexus_rl.models import MultimodalVAE

BATCH = batch_of((LABEL, VECTOR))
OLD = make((LABEL,)).eval()


class Killed(BaseException):
    """Nothing in between handles this."""


@contextmanager
def failing(call: int, after: bool, error: BaseException) -> Iterator[list[int]]:
    """Moving the ``call``-th file into place ends everything; yields how many were."""
    moved = [0]
    whole = os.replace

    def move(source: Any, target: Any) -> None:
        moved[0] += 1
        if moved[0] == call and not after:
            raise error
        whole(source, target)
        if moved[0] == call:
            raise error

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", move)
        yield moved


def seen(model: MultimodalVAE) -> list[Any]:
    own = {m.name: BATCH[m.name] for m in model.modalities}
    return [model.modalities, *model.eval().encode(own).flatten().tolist()]


def put_old(folder: Path) -> None:
    OLD.save_pretrained(folder)


def put_unguarded(folder: Path) -> None:
    """A folder as older versions wrote it."""
    OLD.save_pretrained(folder)
    path = folder / "config.json"
    found = json.loads(path.read_text())
    for name in ("content_sha256", "weights", "tied"):
        del found[name]
    path.write_text(json.dumps(found))


def put_interrupted(folder: Path) -> None:
    """A folder where another model was being saved."""
    OLD.save_pretrained(folder)
    with failing(1, True, Killed()), pytest.raises(Killed):
        make((VECTOR,)).save_pretrained(folder)


@pytest.mark.parametrize("put", [put_old, put_unguarded, put_interrupted])
@pytest.mark.parametrize("new", [make((LABEL,), beta=2.0), make((VECTOR,))])
@pytest.mark.parametrize("after", [False, True])
def test_killed_at_any_moment_there_is_one_of_both(
    tmp_path: Path, put: Callable[[Path], None], new: MultimodalVAE, after: bool
) -> None:
    wanted = [seen(OLD), seen(new)]
    new.save_pretrained(tmp_path / "whole")
    for call in (1, 2, 3):
        folder = tmp_path / str(call)
        put(folder)
        with failing(call, after, Killed()), pytest.raises(Killed):
            new.save_pretrained(folder)
        assert seen(load_model(folder)) == wanted[call + after > 2]
        new.save_pretrained(folder)
        for name in ("config.json", "model.safetensors"):
            there = (folder / name).read_bytes()
            assert there == (tmp_path / "whole" / name).read_bytes()
    with failing(0, False, Killed()) as moved:
        new.save_pretrained(tmp_path / "1")
    assert moved == [3]


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("call", [1, 2])
def test_a_first_save_that_is_killed_leaves_no_model_or_all_of_it(
    tmp_path: Path, call: int, after: bool
) -> None:
    with failing(call, after, Killed()), pytest.raises(Killed):
        OLD.save_pretrained(tmp_path)
    if call + after == 3:
        assert seen(load_model(tmp_path)) == seen(OLD)
    else:
        with pytest.raises(UserError, match="no model description"):
            load_model(tmp_path)


@pytest.mark.parametrize("call", [1, 2])
def test_a_full_disk_changes_nothing(tmp_path: Path, call: int) -> None:
    full = OSError(28, "No space left on device")
    with failing(call, False, full), pytest.raises(UserError, match="cannot write"):
        OLD.save_pretrained(tmp_path / "new")
    assert not list((tmp_path / "new").iterdir())
    put_old(tmp_path / "old")
    before = {p.name: p.read_bytes() for p in (tmp_path / "old").iterdir()}
    with failing(call, False, full), pytest.raises(UserError, match="cannot write"):
        make((VECTOR,)).save_pretrained(tmp_path / "old")
    assert {p.name: p.read_bytes() for p in (tmp_path / "old").iterdir()} == before


def test_a_model_that_cannot_be_saved_leaves_nothing(tmp_path: Path) -> None:
    model = make((LABEL,))
    heads = model.bottoms["label"].heads
    heads.mean.bias.data = heads.logvar.bias.data  # two parameters, one memory
    with pytest.raises(UserError, match="cannot be saved"):
        model.save_pretrained(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_model_is_read_while_it_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its weights may be new although its description was still the old one."""
    put_old(tmp_path)
    new = make((VECTOR,))
    read = Path.read_bytes

    def late(path: Path) -> bytes:
        monkeypatch.undo()
        new.save_pretrained(tmp_path)
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", late)
    assert seen(load_model(tmp_path)) == seen(new)
