"""The code in the documentation runs, and shows what it says.

Each page's Python blocks run one after another in one namespace. A statement that is
an expression with a comment behind it must have the value of that comment.
"""

import ast
import inspect
import re
import sys
from pathlib import Path

import gymnasium as gym
import pytest
from gymnasium.utils.env_checker import check_env

from nexus_rl import Nexus, wrappers
from nexus_rl.environments import make_env
from nexus_rl.presets import PRESETS
from nexus_rl.spaces import modalities_from_space
from nexus_rl.wrappers import schedules

ROOT = Path(__file__).parents[2]
PAGES = ["README.md", "docs/wrappers.md", "docs/own_environment.md", "docs/cmi.md"]
SKIP = "<!-- skip -->"  # the line before a block that needs a display or a network
BLOCK = re.compile(r"^(<!-- skip -->\n+)?```python\n(.*?)^```$", re.DOTALL | re.M)


def read(page):
    return (ROOT / page).read_text(encoding="utf-8")


def blocks(page):
    """The code of a page, with the lines that it has there."""
    text = read(page)
    for found in BLOCK.finditer(text):
        if found[1] is None:
            yield "\n" * text.count("\n", 0, found.start(2)) + found[2]


def execute(code, page, namespace):
    """Run a block; expressions with a comment are compared to it."""
    lines = code.splitlines()
    for statement in ast.parse(code, page).body:
        behind = lines[statement.end_lineno - 1].encode()[statement.end_col_offset :]
        said = behind.decode().strip()
        if isinstance(statement, ast.Expr) and said.startswith("# "):
            expression = ast.Expression(statement.value)
            value = eval(compile(expression, ROOT / page, "eval"), namespace)
            where = f"{page}, line {statement.lineno}"
            assert repr(value) == said[2:], f"{where}: {value!r}, not {said[2:]}"
        else:
            module = ast.Module([statement], [])
            exec(compile(module, ROOT / page, "exec"), namespace)


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A directory with the demo's (untrained) model; registrations are undone."""
    monkeypatch.chdir(tmp_path)
    preset, env = PRESETS["pendulum"], gym.make("envs:nexus_rl/MultimodalPendulum-v0")
    modalities = modalities_from_space(env.observation_space, **preset.sensors)
    Nexus(modalities, preset.model).save_pretrained("runs/pendulum")
    env.close()
    before = dict(gym.registry)
    yield tmp_path
    gym.registry.clear()
    gym.registry.update(before)


@pytest.mark.parametrize("page", PAGES)
def test_the_code_of_a_page_runs(page, elsewhere):
    codes = list(blocks(page))
    assert codes
    namespace = {"__name__": "__main__"}  # so that workers get its classes by value
    for code in codes:
        execute(code, page, namespace)


def test_the_own_environment_is_found_by_its_module(elsewhere, monkeypatch):
    code = next(blocks("docs/own_environment.md"))
    (elsewhere / "my_cart.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(elsewhere)
    with make_env("my_cart:Cart-v0") as env:
        check_env(env.unwrapped, skip_render_check=True)
    del sys.modules["my_cart"]


@pytest.mark.parametrize("page", PAGES)
def test_no_block_is_forgotten(page):
    """Whatever is marked as Python runs, or says that it cannot."""
    text = read(page)
    marked = len(re.findall(r"^ *(```|~~~) *(python|py)\b", text, re.M | re.I))
    assert marked == len(list(BLOCK.finditer(text)))
    assert text.count(SKIP) == sum(m[1] is not None for m in BLOCK.finditer(text))


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", read(page)):
        if "://" not in target:
            assert ((ROOT / page).parent / target).exists(), target


def test_all_schedules_and_wrappers_are_described():
    page = read("docs/wrappers.md")
    kinds = {
        name
        for name, each in inspect.getmembers(schedules, inspect.isclass)
        if issubclass(each, schedules.Schedule) and not name.startswith("_")
    }
    assert len(kinds) > 8
    missing = {name for name in {*kinds, *wrappers.__all__} if name not in page}
    assert not missing


def test_a_wrong_value_is_noticed():
    with pytest.raises(AssertionError, match="line 1"):
        execute("1 + 1  # 3\n", "page", {})
    execute("x = 1 + 1  # 3\nx  # 2\n", "page", {})
