"""Committed pages are what their JSON says, byte for byte."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from quoting import RESULTS

TABLES = ("table1", "table2", "table3", "fig_a21", "ablation")
AGENTS = ("pendulum", "pendulum4", "hyperhot", "digitdial")


def differ(paths: list[Path]) -> list[str]:
    """Those that are not as committed; pictures depend on the version of Matplotlib."""
    texts = [path for path in paths if path.suffix != ".png"]
    assert texts
    return [
        path.name
        for path in texts
        if path.read_bytes() != (RESULTS / path.name).read_bytes()
    ]


def test_pages_of_the_paper(
    module_of: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    for name in TABLES:
        shutil.copytree(RESULTS / name, tmp_path / name)
        assert differ(module_of("paper_pages").write_pages(name, tmp_path)) == []
    assert differ([module_of("paper_claims").write_claims(tmp_path)]) == []


@pytest.mark.parametrize("name", AGENTS)
def test_pages_of_agents(
    module_of: Callable[[str], ModuleType], tmp_path: Path, name: str
) -> None:
    folder = tmp_path / f"agents_{name}"
    shutil.copytree(RESULTS / folder.name, folder)
    plan = module_of("agent_rows").EXPERIMENTS[name]
    assert differ(module_of("agent_pages").write_page(folder, plan)) == []
