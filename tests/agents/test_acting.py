"""Agents with memory, masks and normalised observations act as their libraries say."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from agent_world import short_task
from gymnasium import spaces
from numpy.typing import NDArray
from sb3_contrib import MaskablePPO, RecurrentPPO
from sb3_contrib.common.maskable.evaluation import evaluate_policy as evaluate_maskable
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import (
    VecCheckNan,
    VecEnvWrapper,
    VecFrameStack,
    VecNormalize,
)

from agents import (
    Agent,
    EvaluateConditions,
    Perception,
    RandomAgent,
    Task,
    conditions_of,
    evaluate_subsets,
    make_vec_env,
)
from agents.acting import PolicyPlayer
from agents.callbacks import read_lines
from agents.evaluation import episode_seed
from agents.watching import Watched
from nexus_rl import UserError

EPISODES = 4


class Drift(gym.Env[dict[str, Any], Any]):
    """Shows random numbers for 2 to 9 steps; a step is worth what is done in it."""

    def __init__(self) -> None:
        box = spaces.Box(-50.0, 50.0, (2,), np.float32)
        self.observation_space = spaces.Dict({"left": box, "right": box})
        self.action_space: spaces.Space[Any] = spaces.Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        super().reset(seed=seed)
        self.left = int(self.np_random.integers(2, 10))
        return self.show(), {"state": self.np_random.normal(size=2)}

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, Any]:
        self.left -= 1
        reward = float(np.dot(np.ravel(action), [3.0, 5.0][: np.size(action)]))
        told = {"state": self.np_random.normal(size=2)}
        return self.show(), reward + 0.1, self.left == 0, False, told

    def show(self) -> dict[str, Any]:
        seen = self.np_random.normal(30, 5, size=(2, 2)).astype(np.float32)
        return {"left": seen[0], "right": seen[1]}


CHOICES: dict[str, tuple[spaces.Space[Any], list[int]]] = {
    "one": (spaces.Discrete(5), [5]),
    "several": (spaces.MultiDiscrete([3, 4]), [3, 4]),
    "binary": (spaces.MultiBinary(2), [2, 2]),
}


class Allowed(Drift):
    """Allows some actions, others in every step, and bears no other."""

    def __init__(self, choice: str) -> None:
        super().__init__()
        self.action_space, self.counts = CHOICES[choice]

    def show(self) -> dict[str, Any]:
        self.allowed = [self.np_random.random(n) < 0.5 for n in self.counts]
        for part in self.allowed:
            part[self.np_random.integers(part.size)] = True
        return super().show()

    def action_masks(self) -> NDArray[np.bool_]:
        return np.concatenate(self.allowed)

    def step(self, action: Any) -> tuple[dict[str, Any], float, bool, bool, Any]:
        assert all(m[a] for m, a in zip(self.allowed, np.ravel(action), strict=True))
        return super().step(action)


gym.register("nexus_rl_tests/Drift-v0", entry_point=Drift)
gym.register("nexus_rl_tests/Allowed-v0", entry_point=Allowed)
RAW = Perception("raw")
DRIFT = Task("nexus_rl_tests/Drift-v0", perception=RAW)
TINY: dict[str, Any] = {"n_steps": 8, "batch_size": 8, "n_epochs": 1, "seed": 1}
LSTM: dict[str, Any] = {"lstm_hidden_size": 8, "net_arch": []}


def allowed(choice: str) -> Task:
    return Task("nexus_rl_tests/Allowed-v0", {"choice": choice}, RAW)


def recurrent(task: Task = DRIFT, policy: str = "MultiInputLstmPolicy") -> RecurrentPPO:
    venv = make_vec_env(task, 2, 0)
    model = RecurrentPPO(policy, venv, policy_kwargs=LSTM, **TINY)
    for name, weights in model.policy.named_parameters():
        if "lstm" in name:
            weights.data.mul_(5)  # else its memory would hardly matter
    return model


def normalized(task: Task = DRIFT) -> PPO:
    """An algorithm that learned for a moment behind VecNormalize."""
    venv = VecNormalize(make_vec_env(task, 2, 0))
    return PPO("MultiInputPolicy", venv, **TINY).learn(32)


def returns(agent: Any, n_envs: int, **options: Any) -> list[float]:
    found = evaluate_subsets(
        agent, "everything", EPISODES, n_envs=n_envs, **options
    ).rows
    return [row["return"] for row in found]


def theirs(
    model: Any,
    task: Task,
    evaluate: Callable[..., Any] = evaluate_policy,
    wrap: Callable[[Any], Any] = lambda venv: venv,
) -> list[float]:
    """Returns of the same episodes, as the library of the algorithm finds them."""
    options: dict[str, Any] = {"return_episode_rewards": True, "warn": False}
    found = []
    for episode in range(EPISODES):
        venv = wrap(make_vec_env(task, 1, episode_seed(0, episode)))
        found += evaluate(model, venv, 1, **options)[0]
        venv.close()
    together = wrap(make_vec_env(task, EPISODES, episode_seed(0, 0)))
    beside = evaluate(model, together, EPISODES, **options)[0]
    assert sorted(beside) == pytest.approx(sorted(found), abs=1e-4)
    assert len({round(each, 3) for each in found}) > 1
    return found


class Counter:
    """Acts on how many steps it has seen; its memory is one number."""

    def predict(
        self,
        observation: Any,
        state: int | None = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[np.float32], int]:
        assert deterministic and episode_start.dtype == bool
        count = 0 if state is None else state
        return np.full((len(episode_start), 1), count / 10, np.float32), count + 1


class Forwarding:
    """Hands on whatever it is given or asked for."""

    def __init__(self, policy: Any) -> None:
        self.policy = policy

    def predict(self, *given: Any, **named: Any) -> Any:
        return self.policy.predict(*given, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.policy, name)


@pytest.mark.parametrize("n_envs", [1, 3, EPISODES])
@pytest.mark.parametrize("who", ["algorithm", "policy", "forwarding", "counter"])
def test_memory_is_kept_as_their_evaluation_keeps_it(who: str, n_envs: int) -> None:
    model = recurrent()
    policy: Any = {
        "algorithm": model,
        "policy": model.policy,
        "forwarding": Forwarding(model),
        "counter": Counter(),
    }[who]
    found = returns((policy, DRIFT), n_envs)
    assert found == pytest.approx(theirs(policy, DRIFT), abs=1e-4)


def test_every_environment_is_told_when_its_episode_begins() -> None:
    starts: list[Any] = []

    class Noting(Counter):
        def predict(self, observation: Any, **given: Any) -> Any:  # type: ignore[override]
            starts.append(given["episode_start"].copy())
            return super().predict(observation, **given)

    found = evaluate_subsets((Noting(), DRIFT), "everything", EPISODES).rows
    lengths = [row["length"] for row in found]
    told = np.stack(starts)
    assert told[0].all() and len(told) == max(lengths) > min(lengths)
    for row, length in zip(told.T, lengths, strict=True):
        assert np.flatnonzero(row[1 : length + 1]).tolist() in ([length - 1], [])
        assert row[length:][:1].all()  # begun anew, beside those that go on


def test_a_player_with_memory_and_one_whose_observation_is_called_state() -> None:
    class Remembering(Counter):
        name, task, encoder = "remembering", DRIFT, None

    class Plain:
        name, task, encoder = "plain", DRIFT, None

        def predict(self, state: Any) -> Any:
            return tuple(np.tanh(state["left"][:, :1]))

    assert returns(Remembering(), 3) == returns((Counter(), DRIFT), 3)
    assert returns(Plain(), 2) == pytest.approx(returns(Plain(), 1))


def test_one_who_watches_sees_the_memory_at_work() -> None:
    task = short_task(Perception("raw", sensors=("sound",)))
    player = PolicyPlayer(recurrent(task), task)
    rows = evaluate_subsets(player, "everything", 2).rows
    watched = Watched(player, conditions_of(task.env)["everything"])
    for episode in (1, 0):
        *_, last = watched.episode(0, episode)
        assert last.total == pytest.approx(rows[episode]["return"], rel=1e-4)
    watched.close()


@pytest.mark.parametrize("choice", CHOICES)
def test_masks_are_those_of_the_environment(choice: str) -> None:
    task = allowed(choice)
    model = MaskablePPO("MultiInputPolicy", make_vec_env(task, 2, 0), **TINY)
    expected = theirs(model, task, evaluate_maskable)
    agents = [(each, task) for each in (model, model.policy, Forwarding(model))]
    for agent in (*agents, Agent(task, model.policy, None, "agent", {})):
        for n_envs in (1, 3):
            found = returns(agent, n_envs)
            assert found == pytest.approx(expected, abs=1e-4)
    # Random actions are allowed too, or the environment would complain.
    assert returns(RandomAgent(task), 3) == returns(RandomAgent(task), 1)


def test_random_actions_are_any_that_are_allowed() -> None:
    agent = RandomAgent(allowed("several"))
    agent.begin(range(200))
    mask = np.array([True, False, True, False, True, False, False])
    drawn = agent.predict(None, np.tile(mask, (200, 1)))
    assert {tuple(each) for each in drawn.tolist()} == {(0, 1), (2, 1)}
    agent = RandomAgent(allowed("binary"))
    agent.begin(range(200))
    drawn = agent.predict(None, np.tile([True, True, False, True], (200, 1)))
    assert {tuple(each) for each in drawn.tolist()} == {(0, 1), (1, 1)}


@pytest.mark.parametrize("task", [DRIFT, short_task(RAW)], ids=["numbers", "images"])
def test_statistics_of_training_normalise_observations(task: Task) -> None:
    model = normalized(task)
    around: Any = model.get_vec_normalize_env()
    before = {name: each.count for name, each in around.obs_rms.items()}

    def wrap(venv: Any) -> VecNormalize:
        fixed = VecNormalize(venv, training=False, norm_reward=False)
        fixed.obs_rms = around.obs_rms
        return fixed

    expected = theirs(model, task, wrap=wrap)
    for n_envs in (1, 3):
        assert returns((model, task), n_envs) == pytest.approx(expected, abs=1e-3)
    assert returns((Forwarding(model), task), 2) == pytest.approx(expected, abs=1e-3)
    found = returns((model.policy, task), 2, normalize=around)
    assert found == pytest.approx(expected, abs=1e-3)
    assert {name: each.count for name, each in around.obs_rms.items()} == before
    if task is DRIFT:  # a policy alone cannot tell
        assert returns((model.policy, task), 2) != pytest.approx(expected, abs=1e-3)


def test_statistics_are_those_of_the_moment_while_it_learns(tmp_path: Path) -> None:
    expected = []

    class Compared(EvaluateConditions):
        def evaluate(self) -> None:
            super().evaluate()
            expected.append(np.mean(returns((self.model, DRIFT), 2)))

    path = tmp_path / "found.jsonl"
    tests = Compared(DRIFT, "everything", 16, EPISODES, path=path)
    venv = VecNormalize(make_vec_env(DRIFT, 2, 0))
    PPO("MultiInputPolicy", VecCheckNan(venv), **TINY).learn(48, tests)
    assert len(expected) == 2 and expected[0] != expected[1]
    assert [each["return"] for each in read_lines(path)] == pytest.approx(expected)
    # The statistics are those of the 48 steps, and of two resets.
    assert venv.obs_rms["left"].count == pytest.approx(50, abs=0.1)


class Doubling(VecEnvWrapper):
    """Shows twice of everything, in a space that says nothing of it."""

    def reset(self) -> Any:
        return {name: 2 * each for name, each in self.venv.reset().items()}

    def step_wait(self) -> Any:
        seen, *rest = self.venv.step_wait()
        return {name: 2 * each for name, each in seen.items()}, *rest


def test_what_does_not_fit_is_refused_before_anything_is_learned() -> None:
    def learns(wrap: Callable[[Any], Any], kind: Any = PPO, task: Task = DRIFT) -> Any:
        return kind("MultiInputPolicy", wrap(make_vec_env(task, 2, 0)), **TINY)

    def stacked(venv: Any) -> Any:
        return VecFrameStack(venv, 2)

    masked = learns(lambda venv: venv, MaskablePPO, allowed("one"))
    unmasked = Task("nexus_rl_tests/Follow-v0", perception=RAW)
    with pytest.raises(UserError, match="give it a method action_masks"):
        evaluate_subsets((masked, unmasked), "everything", 1)
    cases = [
        (learns(stacked), DRIFT, "observations of policy .* but those of its task"),
        (learns(lambda v: VecNormalize(stacked(v))), DRIFT, "observations of policy"),
        (learns(lambda v: Doubling(VecNormalize(v))), DRIFT, "Doubling around VecNorm"),
        (learns(lambda v: VecNormalize(VecNormalize(v))), DRIFT, "VecNormalize around"),
        (learns(lambda v: v), unmasked, "observations of policy"),
        (learns(lambda v: v), allowed("one"), "actions of policy .* Discrete"),
    ]
    for model, task, said in cases:
        with pytest.raises(UserError, match=said):
            evaluate_subsets((model, task), "everything", 1)
        with pytest.raises(UserError, match=said):
            model.learn(16, EvaluateConditions(task, "everything"))
        assert model.num_timesteps == 0


def test_a_wrapper_that_is_left_out_is_named(caplog: pytest.LogCaptureFixture) -> None:
    venv = Doubling(make_vec_env(DRIFT, 2, 0))
    model = PPO("MultiInputPolicy", venv, **TINY)
    with caplog.at_level(logging.WARNING):
        evaluate_subsets((model, DRIFT), "everything", 1)
    assert "leaves out Doubling" in caplog.text


def test_mistakes() -> None:
    class Bare:
        def predict(self, observation: Any) -> Any:
            return np.zeros((len(observation["left"]), 1), np.float32)

    def refused(agent: Any, said: str, **options: Any) -> None:
        with pytest.raises(UserError, match=said):
            evaluate_subsets(agent, "everything", 2, **options)

    refused((Bare(), DRIFT), r"Bare must return \(actions, state\)")
    around = VecNormalize(make_vec_env(DRIFT, 1, 0))
    refused(RandomAgent(DRIFT), "normalize is for a policy", normalize=around)
    refused((Counter(), DRIFT), "must be a VecNormalize", normalize="stats.pkl")
    elsewhere = VecNormalize(make_vec_env(short_task(Perception("state")), 1, 0))
    for task in (DRIFT, short_task(RAW)):
        refused((Counter(), task), "observations of policy", normalize=elsewhere)
    others = VecNormalize(make_vec_env(short_task(RAW), 1, 0))
    refused((Counter(), DRIFT), "observations of policy", normalize=others)
