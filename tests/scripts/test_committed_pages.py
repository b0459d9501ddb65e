"""Committed pages are what their JSON says, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from quoting import RESULTS

TABLES = ("table1", "table2", "table3", "fig_a21", "ablation")
AGENTS = ("pendulum", "pendulum4", "hyperhot", "digitdial")


def committed(name: str) -> str:
    return (RESULTS / name).read_text()


@pytest.mark.parametrize("name", TABLES)
def test_pages_of_the_paper(module_of: Callable[[str], ModuleType], name: str) -> None:
    pages = module_of("paper_pages")
    groups = module_of("paper_groups").read_groups(RESULTS / name)
    text, _ = pages.PAGES[name]
    assert text(groups) == committed(f"{name}.md")
    figures = pages.summary(groups, by_given=name == "table3")
    assert json.loads(json.dumps(figures)) == json.loads(committed(f"{name}.json"))


def test_the_page_of_claims(
    module_of: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    for name in TABLES:
        (tmp_path / name).symlink_to(RESULTS / name)
    page = module_of("paper_claims").write_claims(tmp_path)
    assert page.read_text() == committed("claims.md")


@pytest.mark.parametrize("name", AGENTS)
def test_pages_of_agents(module_of: Callable[[str], ModuleType], name: str) -> None:
    page = RESULTS / f"agents_{name}.md"
    plan = module_of("agent_rows").EXPERIMENTS[name]
    found = module_of("agent_scores").read_measured(RESULTS / page.stem, plan)
    pictures = [
        path
        for kind in ("scores", "returns", "drop_rates")
        if (path := RESULTS / f"{page.stem}_{kind}.png").exists()
    ]
    assert module_of("agent_pages").text(found, pictures) == page.read_text()
