"""Files that are whole or not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from nexus_rl.errors import UserError
from nexus_rl.files import write_atomic


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
