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
from nexus_rl.files import read_json, write_json

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
    index = read_json(path, "index")
    index["parts"][0] |= {"rows": 60}
    write_json(path, index)
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


def flip(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_a_flipped_bit_is_noticed_in_every_row_that_counts(small: Path) -> None:
    collect(Toy(), 40, seed=1, out=small)  # after rows of another process
    for path in small.glob("*.bin"):
        for place in (0, -1):
            flip(path, place)
            with pytest.raises(UserError, match=f"{path.name} was changed or damaged"):
                load_rollouts(small)
            flip(path, place)
        with path.open("ab") as file:
            file.write(b"left over")  # by a process that was killed
    assert len(load_rollouts(small)) == 90


def test_rows_are_not_trusted_because_others_were_added(small: Path) -> None:
    flip(small / "reward.bin", 0)
    with pytest.raises(UserError, match=r"reward\.bin was changed"):
        collect(Toy(), 40, seed=1, out=small)
    with pytest.raises(UserError, match=r"reward\.bin was changed"):
        load_rollouts(small)


def as_before_checksums(folder: Path) -> None:
    path = folder / "index.json"
    index = read_json(path, "index")
    for column in index["columns"].values():
        del column["crc32"]
    path.write_text(json.dumps(index))


def test_folders_of_older_versions_are_loaded_with_a_warning(
    small: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = content(small)
    as_before_checksums(small)
    assert len(load_rollouts(small)) == 50
    (record,) = caplog.records
    assert "has no checksums" in record.getMessage()
    collect(Toy(), 50, out=small)  # the same call again adds them
    assert content(small) == whole
    as_before_checksums(small)
    collect(Toy(), 40, seed=1, out=small)
    caplog.clear()
    assert len(load_rollouts(small)) == 90
    assert not caplog.records


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("dtype", "O"),
        ("dtype", "<U10"),
        ("dtype", "f4,f4"),
        ("dtype", {"names": ["a"], "formats": ["O"]}),
        ("shape", [-1]),
        ("shape", [2.0]),
        ("shape", [10**12, 10**12]),
        ("shape", [10**400]),
        ("shape", "2"),
        ("crc32", "0"),
    ],
)
def test_columns_that_cannot_be_are_refused(small: Path, key: str, value: Any) -> None:
    path = small / "index.json"
    index = read_json(path, "index")
    index["columns"]["reward"][key] = value
    write_json(path, index)
    with pytest.raises(UserError, match=r"index\.json is damaged|reward\.bin has only"):
        load_rollouts(small)


@pytest.mark.parametrize("part", [{"rows": 10**15, "done": 10**15}, {"episodes": 51}])
def test_more_rows_than_there_can_be_are_refused(
    small: Path, part: dict[str, int]
) -> None:
    path = small / "index.json"
    index = read_json(path, "index")
    index["parts"][0] |= part
    index["rows"] = index["parts"][0]["done"]
    write_json(path, index)
    with pytest.raises(UserError, match=r"is damaged|has only"):
        load_rollouts(small)


def test_columns_of_other_folders_are_not_read(small: Path, tmp_path: Path) -> None:
    index = read_json(small / "index.json", "index")
    for name in ("../outside", str(tmp_path / "outside"), "../../etc/passwd", "a\0b"):
        columns = {**index["columns"], name: index["columns"]["reward"]}
        del columns["reward"]
        write_json(small / "index.json", {**index, "columns": columns})
        with pytest.raises(UserError, match="leads out of"):
            load_rollouts(small)
