"""Environments by id: arguments, names, and what is said about mistakes."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.wrappers import TimeLimit

from nexus_rl import UserError, environments
from nexus_rl.environments import make_env, time_limit
from nexus_rl.mask import mask_columns

HYPERHOT = "nexus_rl/HyperHot-v0"
STUBBORN = "nexus_rl/Stubborn-v0"  # under the project's namespace, but not its own


class Stubborn(gym.Env[Any, Any]):
    """Takes any argument, and fails for a reason of its own."""

    observation_space = action_space = spaces.Discrete(2)

    def __init__(self, **options: Any) -> None:
        if options.get("broken"):
            raise LookupError("no such part")
        if options.get("bug") == "here":
            raise TypeError("a bug")

    def reset(self, **_: Any) -> Any:
        return 0, {}


@pytest.fixture
def stubborn() -> Iterator[str]:
    gym.register(STUBBORN, Stubborn)
    yield STUBBORN
    del gym.registry[STUBBORN]


def inner(env: gym.Env[Any, Any]) -> Any:
    return env.unwrapped


def test_this_projects_ids_need_no_module(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in gym.registry if name.startswith("nexus_rl/")]:
        monkeypatch.delitem(gym.registry, name)
    for module in [m for m in sys.modules if m.split(".")[0] == "envs"]:
        monkeypatch.delitem(sys.modules, module)
    assert inner(make_env(HYPERHOT)).enemies == 4
    assert inner(make_env(f"envs:{HYPERHOT}", {"enemies": 2})).enemies == 2


def test_others_may_register_in_this_projects_namespace(stubborn: str) -> None:
    assert isinstance(inner(make_env(stubborn)), Stubborn)


def test_arguments_reach_the_constructor_and_gymnasium() -> None:
    env = make_env(HYPERHOT, {"enemies": 1, "sound": "waveform", "pacifist": True})
    assert (inner(env).enemies, inner(env).pacifist) == (1, True)
    assert inner(env).sound == "waveform"
    limited = make_env(HYPERHOT, {"max_episode_steps": 7})
    assert limited.spec is not None and limited.spec.max_episode_steps == 7


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"enemy": 2}, r"argument of nexus_rl/HyperHot-v0 'enemy'\. .* 'enemies'\?"),
        ({"enemies": 9}, "with enemies=9: enemies must be 1, 2, 3 or 4, got 9"),
        ({"sound": "waves", "enemies": 2}, "with sound='waves' enemies=2: sound must"),
        ({"time_limit": "long"}, "with time_limit='long': "),
        ({"pacifist": "no"}, "'pacifist' .* must be true or false, got 'no'"),
        ({"pacifist": 0}, "must be true or false, got 0"),
        ({"max_episode_steps": "x"}, "with max_episode_steps='x': "),
    ],
)
def test_bad_arguments_are_named(kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_env(HYPERHOT, kwargs)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nexus_rl/HyperHott-v0", "'nexus_rl/HyperHott-v0': .* mean: `HyperHot`"),
        ("nexus_rl/HyperHot-v7", "version `v7` .* doesn't exist"),
        ("no_such_module:Thing-v0", "No module named 'no_such_module'"),
        ("elsewhere/Thing-v0", "not found.*[^.]\\. Name the module .*: MODULE:ID"),
        ("HyperHot-v0", "exist\\. Name the module that registers it: MODULE:ID"),
    ],
)
def test_unknown_ids_say_what_to_do(name: str, message: str) -> None:
    with pytest.raises(UserError, match=f"cannot make environment .*{message}"):
        make_env(name)


def test_what_a_known_environment_lacks_is_no_unknown_id(stubborn: str) -> None:
    def lacking() -> None:
        raise gym.error.DependencyNotInstalled("pip install lenses")

    gym.registry[stubborn].entry_point = lacking
    with pytest.raises(UserError, match=r"lenses$"):
        make_env(stubborn)


def test_errors_are_the_users_only_if_there_are_arguments(stubborn: str) -> None:
    with pytest.raises(UserError, match=r"with broken=True: .*no such part"):
        make_env(stubborn, {"broken": True})
    gym.registry[stubborn].kwargs["bug"] = "here"
    with pytest.raises(TypeError, match="a bug"):  # shown as one
        make_env(stubborn)


def test_examples_run() -> None:
    results = doctest.testmod(environments)
    assert results.attempted == 1
    assert results.failed == 0


# -- Entries that are ignored, and time limits -------------------------------------


class Told(gym.Env[Any, Any]):
    """Entries in no order of their names, and a mask with a column for each."""

    action_space = spaces.Discrete(2)
    observation_space = spaces.Dict(
        [
            ("c", spaces.Box(0, 3, (1,))),
            ("text", spaces.Text(3)),
            ("a", spaces.Box(0, 3, (1,))),
            ("available", spaces.Box(0, 1, (3,))),
        ]
    )

    def reset(self, **_: Any) -> Any:
        one, mask = np.ones(1, np.float32), np.array([1, 0, 0], np.float32)
        return {"c": one, "text": "abc", "a": 2 * one, "available": mask}, {}

    def step(self, action: Any) -> Any:
        return self.reset()[0], 0.0, False, False, {}


@pytest.fixture
def told() -> Iterator[str]:
    gym.register("nexus_rl_tests/Told-v0", lambda: TimeLimit(Told(), 7))
    yield "nexus_rl_tests/Told-v0"
    del gym.registry["nexus_rl_tests/Told-v0"]


def test_ignored_entries_go_and_the_mask_tells_of_the_others(told: str) -> None:
    env = make_env(told, ignore=["text"])
    assert list(env.observation_space) == ["c", "a", "available"]
    env.reset()
    seen, *_ = env.step(0)
    assert seen in env.observation_space
    assert {name: value.tolist() for name, value in seen.items()} == {
        **{"c": [1], "a": [2], "available": [1, 0, 0]},
    }
    assert mask_columns(env) == {"c": 0, "a": 2}
    for ignore in (["txt"], ["available"], ["c", "text", "a"]):
        with pytest.raises(UserError, match=r"'txt'|'available'|nothing is left"):
            make_env(told, ignore=ignore)


def test_the_time_limit_is_the_shortest_of_all_wrappers(told: str) -> None:
    limits = [time_limit(make_env(told, k)) for k in ({}, {"max_episode_steps": 9})]
    assert limits == [7, 7]
    assert time_limit(make_env(told, {"max_episode_steps": 5})) == 5
    assert time_limit(Told()) is None


PROBE = """
import sys
import gymnasium as gym

early = "torch._dynamo" in sys.modules

class Probe(gym.Env):
    action_space = gym.spaces.Discrete(2)
    observation_space = gym.spaces.Dict({"eye": gym.spaces.Box(0, 1, (2,))})

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return {"eye": self.observation_space["eye"].sample()}, {"early": early}

gym.register("Probe-v0", Probe)
"""
BY_ID = """
from nexus_rl.environments import make_env

assert make_env("probe:Probe-v0").reset()[1]["early"]
"""
MADE = """
import probe, sys
from nexus_rl.data.rollouts import collect

class Late(probe.Probe):
    def reset(self, **how):
        assert "torch._dynamo" in sys.modules
        return super().reset(**how)

env = Late()
assert not probe.early
collect(env, 1)
"""


@pytest.mark.parametrize("code", [BY_ID, MADE])
def test_what_optimisers_import_comes_before_an_environment_renders(
    code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If Mesa is loaded before it, the process dies at the first step."""
    (tmp_path / "probe.py").write_text(PROBE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    subprocess.run([sys.executable, "-c", code], check=True)
