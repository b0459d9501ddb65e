"""What a user may rely on: names, quick imports, and what depends on what."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nexus_rl

ROOT = Path(__file__).parents[1]
LIBRARY = sorted((ROOT / "nexus_rl").rglob("*.py"))
ENVS = sorted((ROOT / "envs").rglob("*.py"))
AGENTS = sorted((ROOT / "agents").rglob("*.py"))


def python(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def imported(path: Path) -> Iterator[str]:
    """Top-level packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("name", nexus_rl.__all__)
def test_every_public_name_resolves(name: str) -> None:
    value = getattr(nexus_rl, name)
    assert value.__name__ == name
    assert value.__doc__
    assert name in dir(nexus_rl)


def test_the_promised_names_are_public() -> None:
    promised = {"Modality", "Nexus", "TrainConfig", "load_model", "make_model", "train"}
    assert promised <= set(nexus_rl.__all__)
    assert len(set(nexus_rl.__all__)) == len(nexus_rl.__all__)


def test_star_import_gives_the_public_names() -> None:
    names = python("from nexus_rl import *; print(*[n for n in dir() if n[0] != '_'])")
    assert set(names.split()) == set(nexus_rl.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="'nexus_rl' has no attribute 'Nexsus'"):
        nexus_rl.Nexsus  # noqa: B018
    assert not hasattr(nexus_rl, "torch")


def test_importing_the_library_and_its_settings_does_not_wait_for_torch() -> None:
    """Every ``--help`` takes this way."""
    code = (
        "import nexus_rl, sys; "
        "from nexus_rl import ModelConfig, TrainConfig, UserError; "
        "import nexus_rl.cli, nexus_rl.presets; "
        "print([m for m in ('torch', 'matplotlib', 'gymnasium') if m in sys.modules])"
    )
    assert python(code) == "[]"


def test_importing_agents_does_not_wait_for_torch() -> None:
    code = (
        "import agents, sys; "
        "from agents import Condition, choose_conditions, conditions_of; "
        "from agents import Evaluation, RandomAgent, evaluate_subsets; "
        "heavy = ('torch', 'stable_baselines3', 'matplotlib'); "
        "print([m for m in heavy if m in sys.modules])"
    )
    assert python(code) == "[]"


def test_user_errors_are_value_errors() -> None:
    assert issubclass(nexus_rl.UserError, ValueError)


def test_the_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert nexus_rl.__version__ == version("nexus_rl")


@pytest.mark.parametrize("path", LIBRARY, ids=lambda p: str(p.relative_to(ROOT)))
def test_the_library_imports_neither_environments_nor_agents(path: Path) -> None:
    assert not {"envs", "agents", "scripts", "tests"} & set(imported(path))


@pytest.mark.parametrize("path", ENVS, ids=lambda p: str(p.relative_to(ROOT)))
def test_environments_import_neither_the_library_nor_agents(path: Path) -> None:
    assert not {"nexus_rl", "agents", "scripts", "torch"} & set(imported(path))


@pytest.mark.parametrize("path", AGENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_agents_know_environments_by_their_ids_only(path: Path) -> None:
    assert not {"envs", "scripts", "tests"} & set(imported(path))


@pytest.mark.parametrize(
    "path", [*LIBRARY, *AGENTS], ids=lambda p: str(p.relative_to(ROOT))
)
def test_the_library_does_not_print(path: Path) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]
    names = [call.func.id for call in calls if isinstance(call.func, ast.Name)]
    assert "print" not in names
