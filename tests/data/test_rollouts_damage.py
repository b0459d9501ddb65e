"""Folders that are damaged, foreign or full, and calls that do not suit them."""

from __future__ import annotations

import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_rollouts_env import IMAGE, VECTOR, Toy, content

from nexus_rl import UserError
from nexus_rl.data.rollouts import collect, load_rollouts, sample

PENDULUM = "envs:nexus_rl/MultimodalPendulum4-v0"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A finished folder of 50 rows."""
    collect(Toy(), 50, out=tmp_path / "rollouts")
    return tmp_path / "rollouts"


def refused(message: str, folder: Path, **arguments: Any) -> None:
    """The call is refused and changes nothing."""
    before = content(folder)
    with pytest.raises(UserError, match=message):
        collect(**{"env": Toy(), "steps": 50, "out": folder, **arguments})
    assert content(folder) == before


def test_what_does_not_belong_into_the_folder_is_refused(small: Path) -> None:
    refused("a part of 50 rows.*use another seed", small, steps=51)
    refused("another environment", small, env=PENDULUM)
    other = Toy({"image": IMAGE, "vector": VECTOR, "more": VECTOR})
    refused("another columns", small, env=other)


def test_other_rows_must_wait_for_an_unfinished_part(small: Path) -> None:
    path = small / "index.json"
    index = json.loads(path.read_text())
    index["parts"][0] |= {"rows": 60}
    path.write_text(json.dumps(index))
    refused("unfinished part .50 of 60 rows", small, seed=1)


def test_foreign_folders_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    refused("holds no rollouts; nothing was changed", tmp_path)
    with pytest.raises(UserError, match="holds no rollouts"):
        collect(Toy(), 50, out=tmp_path / "thesis.tex")
    with pytest.raises(UserError, match="no index of rollouts"):
        load_rollouts(tmp_path)


def test_a_kill_during_the_very_first_write_leaves_a_free_folder(
    tmp_path: Path,
) -> None:
    (tmp_path / ".index.json.partial").write_text('{"form')
    assert len(collect(Toy(), 50, out=tmp_path)) == 50
    assert not (tmp_path / ".index.json.partial").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"format": 1, "rows"', "not a readable index"),
        ("[]", "damaged or not an index"),
        ('{"name": "my-package"}', "damaged or not an index"),
        ('{"format": 2}', "has format 2, this version reads 1"),
    ],
)
def test_a_damaged_index_is_named(small: Path, text: str, message: str) -> None:
    (small / "index.json").write_text(text)
    with pytest.raises(UserError, match=message):
        load_rollouts(small)
    refused(message, small)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("rows", 49),
        ("columns", {"reward": {"shape": [], "dtype": "<f9"}}),
        ("columns", None),
        ("parts", [{"how": {}, "rows": 1, "done": 50}]),
        ("parts", [{"who": {}}]),
        ("env", 3),
    ],
)
def test_an_index_that_contradicts_itself_is_damaged(
    small: Path, key: str, value: Any
) -> None:
    path = small / "index.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
    with pytest.raises(UserError, match="damaged or not an index"):
        load_rollouts(small)


def test_lost_and_short_files_are_named(small: Path) -> None:
    image = small / "observation.image.bin"
    data = image.read_bytes()
    image.write_bytes(data[:-1])
    for message in (r"image\.bin has only 1599 bytes, .*1600", "image.bin is missing"):
        with pytest.raises(UserError, match=message):
            load_rollouts(small)
        refused(message, small, seed=1)
        image.unlink(missing_ok=True)
    image.write_bytes(data)
    assert len(collect(Toy(), 50, seed=1, out=small)) == 100


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond ``size`` bytes."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


@pytest.mark.parametrize("size", [200, 20_000, 1_000_000])
def test_a_full_disk_is_said_and_what_was_there_is_kept(
    tmp_path: Path, size: int
) -> None:
    sample(PENDULUM, 3000, seed=1, out=tmp_path / "whole")
    full = tmp_path / "full"
    with disk_of(size), pytest.raises(UserError, match=r"cannot write.*free some"):
        sample(PENDULUM, 3000, seed=1, out=full)
    sample(PENDULUM, 3000, seed=1, out=full)
    assert content(full) == content(tmp_path / "whole")
