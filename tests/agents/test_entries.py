"""Entries that are no sensors: classes, texts and goals, seen, ignored or reliable."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from labelled_env import LENGTH

from agents import (
    AgentConfig,
    Condition,
    EvaluateConditions,
    Perception,
    RandomAgent,
    Task,
    conditions_of,
    evaluate_subsets,
    load_agent,
    make_vec_env,
    train_agent,
)
from agents.watching import Switches, Watched, with_switches
from nexus_rl import UserError, make_model
from nexus_rl.data.simulate import simulate
from nexus_rl.environments import make_env
from nexus_rl.spaces import modalities_from_env
from nexus_rl.wrappers import Bernoulli, Fixed, Gaussian, Window

ENV = "labelled_env:nexus_rl_tests/Labelled-v0"
RAW = Task(ENV, perception=Perception("raw", mask=True), ignore=("mission",))
QUICK = {"n_envs": 2, "n_steps": 16, "batch_size": 16, "n_epochs": 1}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Of two sensors and the class, but not of the buttons."""
    folder = tmp_path_factory.mktemp("encoder")
    modalities = modalities_from_env(make_env(ENV), ignore=("mission", "buttons"))
    make_model("nexus", modalities, width=8, latent_dim=3).save_pretrained(folder)
    return str(folder)


@pytest.fixture(params=["raw", "latent", "state"])
def task(request: pytest.FixtureRequest, encoder: str) -> Task:
    if request.param == "latent":
        seen = Perception(encoder=encoder, mask=True)
        return replace(RAW, perception=seen, ignore=("mission", "buttons"))
    return replace(RAW, perception=Perception(request.param))


def test_agents_learn_and_are_evaluated_whatever_they_see(
    task: Task, tmp_path: Path
) -> None:
    state = task.perception.kind == "state"
    dropout = "none" if state else "episode:0.5"
    options: dict[str, Any] = {"params": QUICK, "steps": 32, "evaluate_every": 32}
    config = AgentConfig(task, sensor_dropout=dropout, **options)
    train_agent(config, tmp_path / "agent")
    agent = load_agent(tmp_path / "agent")
    assert agent.task.ignore == task.ignore
    tests = EvaluateConditions(agent.task, "missing", encoder=agent.encoder)
    assert [c.name for c in tests.conditions] == ["no_right", "no_left"]
    for player in (agent, RandomAgent(agent.task)):
        asked = ["everything", "missing", "bernoulli", "blackout", "lie_left_1"]
        rows = evaluate_subsets(player, asked, 1).rows
        assert len(rows) == 1 + 2 + 5 + 2 + 1
        assert all(row["length"] == LENGTH for row in rows)
        there = {row["condition"]: row["available"] for row in rows}
        assert (there["no_left"]["left"], there["no_left"]["way"]) == (0, 1)
        assert "mission" not in there["everything"]
    condition = with_switches(Condition("everything"), Switches())
    watched = Watched(agent, condition)
    assert list(watched.boxes) == ["right", "left"]
    assert len(list(watched.episode(0, 0))) == LENGTH + 1
    watched.close()


def test_what_is_no_box_is_shown_and_never_missing() -> None:
    venv = make_vec_env(RAW, 3, 0, condition=Condition("half", Bernoulli(0.6)))
    assert list(venv.observation_space) == [
        *("way", "right", "buttons", "left", "available"),
    ]
    seen: Any = venv.reset()
    for _ in range(3 * LENGTH):
        way = seen["way"]
        np.testing.assert_array_equal(seen["buttons"][:, 0], way > 1)
        mask = seen["available"]
        assert (mask[:, [0, 2]] == 1).all() and (mask[:, [1, 3]].sum(1) >= 1).all()
        np.testing.assert_array_equal(seen["left"][:, 0, 0, 0], (way + 10) * mask[:, 3])
        seen, *_ = venv.step(np.array([0, 1, 2]))
    venv.close()


def obeyed(act: Callable[..., Any], options: dict[str, list[str]]) -> list[str]:
    """Does what the errors of ``act(**options)`` say, and returns them."""
    said: list[str] = []
    while len(said) < 4:
        try:
            act(**options)
            return said
        except UserError as error:
            said.append(str(error))
            for option, names in re.findall(r"(\w+)=\[(.*?)\]", said[-1]):
                named = re.findall(r"'(\w+)'", names)
                options[option] = sorted({*options.get(option, ()), *named})
    raise AssertionError("\n".join(said))


@pytest.mark.parametrize("known", [("way", "right", "left"), ("right", "left")])
def test_following_every_message_leads_from_data_to_returns(
    known: Collection[str], tmp_path: Path
) -> None:
    ignore = {"ignore": sorted({"way", "right", "left"} - {*known})}
    obeyed(partial(simulate, ENV, 90), ignore)
    modalities = simulate(ENV, 90, **ignore).modalities
    assert {m.name for m in modalities} == {*known}
    make_model("nexus", modalities, width=8, latent_dim=3).save_pretrained(tmp_path)

    def evaluate(**options: Any) -> None:
        names = {name: options.pop(name, ()) for name in ("append", "absent")}
        seen = Perception(encoder=str(tmp_path), **names)
        make_vec_env(Task(ENV, perception=seen, **options), 1, 0).close()

    options: dict[str, list[str]] = {}
    assert obeyed(evaluate, options)
    assert {*options["ignore"]} == {*ignore["ignore"]}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"ignore": ()}, r"'mission' is a Text.*ignore=\['mission'\]"),
        ({"ignore": ("way",)}, r"ignore=\['way', 'mission'\]"),
        ({"ignore": ("misson",)}, "Did you mean 'mission'"),
        ({"ignore": ("way", "right", "buttons", "left")}, "make one a Box"),
        ({"reliable": ("mission",)}, "'mission' is ignored.* reliable"),
        (
            {"perception": Perception("raw", sensors=("mission",))},
            "'mission' is ignored.* sensors",
        ),
        ({"perception": Perception(append=("mission",))}, "'mission' is ignored.*appe"),
    ],
)
def test_mistakes_with_entries(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        RandomAgent(replace(RAW, **changes))


def test_what_cannot_fail_is_not_made_to() -> None:
    def evaluate(condition: Condition, task: Task = RAW) -> None:
        evaluate_subsets(RandomAgent(task), [condition], 1)

    for condition in (
        Condition("x", Window(0, 2, ("way",))),
        Condition("x", Window(0, 2), sensors=("way",)),
        Condition("x", corruptions={"way": Gaussian(0.1)}),
    ):
        with pytest.raises(UserError, match=r"'x'.* 'way'"):
            evaluate(condition)
    reliable = replace(RAW, reliable=("left", "way"))
    with pytest.raises(UserError, match=r"'left' cannot fail.* reliable"):
        evaluate(Condition("x", corruptions={"left": Gaussian(0.1)}), reliable)
    none = replace(RAW, reliable=("left", "right"))
    assert list(conditions_of(ENV, reliable=none.reliable)) == ["everything"]
    with pytest.raises(UserError, match="'x' has no sensor to take away"):
        evaluate(Condition("x", Bernoulli(0.1)), none)


def test_goals_fail_only_if_they_are_named() -> None:
    task = replace(RAW, env_kwargs={"goals": True})
    names = {c for c in conditions_of(ENV, task.env_kwargs) if "goal" in c}
    assert not names
    order = ("achieved_goal", "left")
    nothing = Condition("nothing", Fixed(()), 0)
    rows = evaluate_subsets(
        RandomAgent(task), [nothing, replace(nothing, name="named", sensors=order)], 1
    ).rows
    missing = [
        {n for n, share in row["available"].items() if not share} for row in rows
    ]
    assert missing == [{"right", "left"}, {*order}]


def test_policies_that_cannot_read_an_entry_are_refused(tmp_path: Path) -> None:
    """Stable-Baselines3 would fail in the middle of learning."""
    import gymnasium as gym
    from gymnasium import spaces
    from labelled_env import Labelled

    class From1(Labelled):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space.spaces["way"] = spaces.Discrete(4, start=1)

    gym.register("nexus_rl_tests/From1-v0", From1)
    task = Task("nexus_rl_tests/From1-v0", perception=Perception("raw"))
    config = AgentConfig(replace(task, ignore=("mission",)), params=QUICK)
    with pytest.raises(UserError, match=r"'way'.* count its classes from 0"):
        train_agent(config, tmp_path / "agent")
    del gym.registry["nexus_rl_tests/From1-v0"]


# -- Episodes without end ----------------------------------------------------------


def test_an_episode_without_end_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.evaluation.LONGEST", 30)
    endless = replace(RAW, env_kwargs={"ends": False})
    said = r"random in condition 'no_left'.*Labelled-v0 .*max_episode_steps"
    with pytest.raises(UserError, match=said):
        evaluate_subsets(RandomAgent(endless), ["no_left"], 2)
    with pytest.raises(UserError, match=r"'everything'.* not ended after 30 steps"):
        list(Watched(RandomAgent(endless), Condition("everything")).episode(0, 0))
    for steps in (7, 50):  # however long, an end that is known is waited for
        cut = replace(RAW, env_kwargs={"ends": False, "max_episode_steps": steps})
        (row,) = evaluate_subsets(RandomAgent(cut), "everything", 1).rows
        assert row["length"] == steps
