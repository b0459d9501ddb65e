"""Files that are whole or not there, and folders that one process writes into."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from other_process import process

from nexus_rl.errors import UserError
from nexus_rl.files import write_atomic
from nexus_rl.locks import LOCK, held
from nexus_rl.parts import aside, part_of, sweep

# Each says that it is where it should be, and stays there until it is told to go on.
WRITES = """
from nexus_rl.parts import aside
with aside(path) as part:
    part.write_bytes(b"half")
    print(flush=True)
    input()
"""
HOLDS = """
from nexus_rl.locks import held
with held(path):
    print(flush=True)
    input()
"""
REPEATS = """
from nexus_rl.files import write_atomic
print(flush=True)
for k in range(60):
    write_atomic(path, b"b" * 2_000_000)
"""


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_folder_that_is_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    with pytest.raises(UserError, match=r"cannot write .*choose another folder"):
        write_atomic(tmp_path / "file" / "out.json", b"{}")
    assert (tmp_path / "file").read_text() == "kept"


def test_what_cannot_be_replaced_stays_and_nothing_is_left_aside(
    tmp_path: Path,
) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match="cannot write"):
        write_atomic(tmp_path / "out", b"{}")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]
    write_atomic(tmp_path / "new" / "out", b"{}")
    assert (tmp_path / "new" / "out").read_bytes() == b"{}"


def test_a_writer_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), aside(tmp_path / "out") as part:
        part.write_bytes(b"half")
        raise KeyboardInterrupt
    assert names(tmp_path) == set()


def test_two_processes_that_write_one_file_leave_a_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "out[1]*.json"
    with process(REPEATS, path) as other:
        for _ in range(60):
            write_atomic(path, b"a" * 1_000_000)
            content = path.read_bytes()
            assert content in (b"a" * 1_000_000, b"b" * 2_000_000)
        assert other.wait() == 0
    assert names(tmp_path) == {path.name}


def test_what_a_killed_process_left_goes_when_the_file_is_written_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")
    old_way = tmp_path / ".out.partial"  # as versions before named it
    old_way.write_bytes(b"half")
    with process(WRITES, path) as other:
        write_atomic(tmp_path / "more", b"")
        write_atomic(path, b"mine")
        (left,) = names(tmp_path) - {"out", "more"}  # somebody is writing it
        assert part_of(left) == "out"
        other.send_signal(signal.SIGKILL)
        other.wait()
    assert path.read_bytes() == b"mine"
    sweep(tmp_path, "more")
    assert left in names(tmp_path)
    write_atomic(path, b"new")
    assert names(tmp_path) == {"out", "more"}


def test_what_another_machine_writes_goes_when_it_is_old(tmp_path: Path) -> None:
    part = tmp_path / ".out.00000000-1-00000000.partial"
    part.touch()
    sweep(tmp_path)
    assert part.exists()
    os.utime(part, (0, 0))
    sweep(tmp_path)
    assert not part.exists()


@pytest.mark.parametrize("name", ["out", ".out", ".partial", "out.partial", ".a.part"])
def test_other_files_are_no_parts(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    sweep(tmp_path)
    assert part_of(name) is None and names(tmp_path) == {name}


def test_one_process_at_a_time_holds_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    with process(HOLDS, folder) as other:
        with (
            pytest.raises(
                UserError, match=rf"process {other.pid} on .*delete .*{LOCK}"
            ),
            held(folder),
        ):
            pass
        other.send_signal(signal.SIGKILL)
        other.wait()
        assert names(folder) == {LOCK}
        own = rf"process {os.getpid()} on"
        with held(folder), pytest.raises(UserError, match=own), held(folder):
            pass
    assert names(folder) == set()
    with pytest.raises(RuntimeError), held(folder):
        raise RuntimeError
    assert names(folder) == set()


def test_a_folder_that_cannot_be_held_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UserError, match=r"file.*choose another"),
        held(tmp_path / "file"),
    ):
        pass
