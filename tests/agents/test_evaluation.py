"""Episodes of agents in every condition: the same ones for each agent, and exact."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from stable_baselines3 import PPO

from agents.conditions import Condition, conditions_of
from agents.evaluation import (
    PolicyPlayer,
    RandomAgent,
    episode_seed,
    evaluate_subsets,
)
from agents.perception import Perception, Task, make_vec_env
from agents.results import Evaluation
from nexus_rl import make_model
from nexus_rl.environments import make_env
from nexus_rl.errors import UserError
from nexus_rl.files import SEAL
from nexus_rl.probes import latents
from nexus_rl.spaces import modalities_from_env

ENV = "nexus_rl/MultimodalPendulum-v0"
SHORT = {"image_size": 16, "max_episode_steps": 40}
RAW = Task(ENV, SHORT, Perception("raw", mask=True))


class Watchful:
    """Pushes as ``push`` says of the sound, and notes what it saw."""

    name = "watchful"
    encoder: Any = None

    def __init__(self, push: Callable[[Any], Any], task: Task = RAW) -> None:
        self.task, self.push = task, push
        self.seen: list[dict[str, NDArray[Any]]] = []

    def predict(self, observation: Any) -> NDArray[np.float32]:
        self.seen.append({name: value.copy() for name, value in observation.items()})
        push: NDArray[np.float64] = self.push(observation["sound"])
        return push.astype(np.float32)[:, None]


def upward(sound: Any) -> Any:
    return np.where(sound[:, 0] > 0.5, 1.0, -1.0)


def idle(sound: Any) -> Any:
    return np.zeros(len(sound))


def plain(found: Evaluation) -> list[tuple[Any, ...]]:
    return [
        (r["condition"], r["seed"], r["episode"], r["return"], r["length"])
        for r in found.rows
    ]


@pytest.fixture(scope="module")
def known() -> dict[str, Condition]:
    return conditions_of(ENV)


@pytest.mark.parametrize(
    "name", ["everything", "bernoulli_50", "bursts_short", "blackout_5"]
)
def test_all_agents_meet_the_same_episodes(name: str) -> None:
    one, other = Watchful(upward), Watchful(idle)
    options: dict[str, Any] = {"episodes": 4, "seeds": (3, 8), "n_envs": 2}
    first = evaluate_subsets(one, [name], **options)
    second = evaluate_subsets(other, [name], **options)
    assert len(one.seen) == len(other.seen) == 4 * 40
    for step in range(0, 160, 40):
        for sensor in ("image", "sound"):
            begun = one.seen[step][sensor], other.seen[step][sensor]
            np.testing.assert_array_equal(*begun)
    # Else the outages would be the same only because the agents do the same.
    heard = [np.stack([seen["sound"] for seen in each.seen]) for each in (one, other)]
    assert not np.array_equal(heard[0], heard[1])
    for mine, theirs in zip(one.seen, other.seen, strict=True):
        np.testing.assert_array_equal(mine["available"], theirs["available"])
    told = [[row["available"] for row in found.rows] for found in (first, second)]
    assert told[0] == told[1]


@pytest.mark.parametrize(
    "name", ["gaussian_sound_2", "occlusion_image_2", "lie_sound_3"]
)
def test_what_is_wrong_is_so_for_raw_sensors_and_for_latents(name: str) -> None:
    model = make_model("nexus", modalities_from_env(make_env(ENV, SHORT)), width=8)

    class Encoded(Watchful):
        encoder = model

        def predict(self, observation: Any) -> NDArray[np.float32]:
            return super().predict({"latent": observation, "sound": observation})

    raw, encoded = Watchful(idle), Encoded(idle, Task(ENV, SHORT))
    for agent in (raw, encoded):
        evaluate_subsets(agent, [name], 2, n_envs=2)
    assert len(raw.seen) == len(encoded.seen) == 40
    for readings, seen in zip(raw.seen, encoded.seen, strict=True):
        batch = {key: torch.from_numpy(value) for key, value in readings.items()}
        by_hand = latents(model, batch, ["image", "sound"]).numpy()
        np.testing.assert_allclose(seen["latent"], by_hand, atol=1e-5)


def test_noise_is_the_same_whatever_an_agent_does() -> None:
    hold = Task(ENV, SHORT, Perception("raw", fill="hold"))
    agents = Watchful(upward), Watchful(idle, hold)
    for agent in agents:
        evaluate_subsets(agent, ["gaussian_image_3"], 2, n_envs=2)
    one, other = (np.stack([seen["image"] for seen in a.seen]) for a in agents)
    # Most of an image is empty: there is nothing to see of it but the noise.
    assert 0.8 < (one == other).mean() < 1
    assert (one[0] == one[1]).mean() < 0.5


def test_episodes_and_seeds_differ(known: dict[str, Condition]) -> None:
    seeds = (0, 1)
    found = evaluate_subsets(
        RandomAgent(RAW), ["bernoulli_50"], episodes=3, seeds=seeds
    )
    assert len({row["return"] for row in found.rows}) == 6
    assert len({row["available"]["image"] for row in found.rows}) > 2
    assert [(r["seed"], r["episode"]) for r in found.rows] == [
        (seed, episode) for seed in seeds for episode in range(3)
    ]


@pytest.mark.parametrize("who", ["random", "policy"])
def test_neither_the_number_of_environments_nor_other_conditions_matter(
    who: str,
) -> None:
    def rows(names: list[str], n_envs: int) -> list[tuple[Any, ...]]:
        agent = RandomAgent(RAW) if who == "random" else Watchful(upward)
        found = evaluate_subsets(agent, names, 5, seeds=(1,), n_envs=n_envs)
        return plain(found)

    alone = rows(["bursts_short"], 1)
    assert len(alone) == 5 and len({row[3] for row in alone}) == 5
    for n_envs in (2, 3, 10):
        assert rows(["bursts_short"], n_envs) == alone
    several = rows(["bursts_short", "lie_sound_3", "no_image"], 4)
    assert [row for row in several if row[0] == "bursts_short"] == alone


def test_the_first_episodes_of_more_are_the_same() -> None:
    few, more = (
        evaluate_subsets(RandomAgent(RAW), ["everything"], n, n_envs=3) for n in (2, 7)
    )
    assert plain(more)[:2] == plain(few)
    assert len(more.rows) == 7


def test_what_was_there_is_told_by_sensor() -> None:
    names = ["everything", "no_image", "blackout_5", "gaussian_image_1"]
    found = evaluate_subsets(RandomAgent(RAW), names, episodes=1)
    told = {row["condition"]: row["available"] for row in found.rows}
    assert told["everything"] == {"image": 1.0, "sound": 1.0}
    assert told["no_image"] == {"image": 0.0, "sound": 1.0}
    # A reading of two frames is whole again a step after the outage.
    assert told["blackout_5"] == {"image": 34 / 40, "sound": 34 / 40}
    assert told["gaussian_image_1"] == {"image": 1.0, "sound": 1.0}  # unannounced


def test_returns_are_those_of_the_environment() -> None:
    """By hand: one environment, from the states in which the agent began."""
    agent = Watchful(idle)
    found = evaluate_subsets(agent, ["everything"], episodes=3, n_envs=3)
    first = agent.seen[0]
    env = make_env(ENV, SHORT)
    for episode in range(3):
        begun, _ = env.reset(seed=episode_seed(0, episode))
        np.testing.assert_array_equal(begun["sound"], first["sound"][episode])
        rewards, truncated = [], False
        while not truncated:
            _, reward, _, truncated, _ = env.step(np.zeros(1, np.float32))
            rewards.append(float(reward))
        row = found.rows[episode]
        assert row["return"] == pytest.approx(sum(rewards), rel=1e-5)
        assert row["length"] == len(rewards) == 40
    env.close()


def test_short_episodes_are_not_favoured() -> None:
    """In each of them the length is drawn at the reset; none may be left out."""
    task = Task("uneven_env:nexus_rl_tests/Uneven-v0", {}, Perception("raw"))
    names = ["everything"]
    alone = evaluate_subsets(RandomAgent(task), names, 12, n_envs=1)
    beside = evaluate_subsets(RandomAgent(task), names, 12, n_envs=5)
    lengths = [row["length"] for row in alone.rows]
    assert lengths == [row["length"] for row in beside.rows]
    assert min(lengths) < 4 and max(lengths) > 10
    assert [row["return"] for row in beside.rows] == lengths  # a reward of 1 a step
    # Nothing counts after the end, while the others go on.
    assert {tuple(row["available"].values()) for row in beside.rows} == {(1.0, 1.0)}


def test_a_policy_of_stable_baselines3_with_its_task(tmp_path: Path) -> None:
    model = make_model("nexus", modalities_from_env(make_env(ENV, SHORT)), width=8)
    model.save_pretrained(tmp_path / "encoder")
    seen = Perception("latent", encoder=str(tmp_path / "encoder"))
    task = Task(ENV, SHORT, seen)
    policy = PPO(
        "MlpPolicy", make_vec_env(task, 1, 0), n_steps=8, batch_size=8, seed=0
    ).policy
    names = ["no_sound", "bernoulli_50"]
    one = evaluate_subsets((policy, task), names, episodes=4, n_envs=4)
    other = evaluate_subsets((policy, task), names[::-1], episodes=4, n_envs=2)
    for name in names:
        returns = [
            [row["return"] for row in found.rows if row["condition"] == name]
            for found in (one, other)
        ]
        assert returns[0] == pytest.approx(returns[1], rel=1e-3)
    assert one.agents == ("policy",)


def test_the_true_state_knows_no_outages() -> None:
    task = Task(ENV, SHORT, Perception("state"))
    policy = PPO("MlpPolicy", make_vec_env(task, 1, 0), n_steps=8, batch_size=8, seed=0)
    agent = PolicyPlayer(policy, task, "oracle")
    found = evaluate_subsets(agent, ["everything", "no_image", "lie_image_3"], 2)
    returns = np.reshape([row["return"] for row in found.rows], (3, 2))
    assert (returns == returns[0]).all() and found.agents == ("oracle",)


def test_own_conditions(known: dict[str, Condition]) -> None:
    mine = Condition("mine", known["no_sound"].schedule, group="mine")
    found = evaluate_subsets(RandomAgent(RAW), ["everything", mine], episodes=1)
    assert found.conditions == {"everything": "everything", "mine": "mine"}
    with pytest.raises(UserError, match="distinct names"):
        evaluate_subsets(RandomAgent(RAW), [mine, mine], episodes=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"episodes": 0}, "episodes must be an integer of at least 1, got 0"),
        ({"n_envs": 0}, "n_envs must be"),
        ({"seeds": ()}, "seeds must be different numbers, at least one"),
        ({"seeds": (1, 1)}, "seeds must be different"),
        ({"seeds": (-1,)}, "a seed must be an integer of at least 0"),
        ({"conditions": ["no_imge"]}, "Did you mean 'no_image'"),
    ],
)
def test_mistakes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate_subsets(RandomAgent(RAW), **options)


@pytest.fixture(scope="module")
def found() -> Evaluation:
    return evaluate_subsets(RandomAgent(RAW), ["everything", "missing"], 2)


def other_agent(found: Evaluation, name: str) -> Evaluation:
    rows: Iterable[dict[str, Any]] = ({**row, "agent": name} for row in found.rows)
    return Evaluation(
        found.env, found.env_kwargs, found.episodes, found.seeds, tuple(rows)
    )


def test_json_and_csv_hold_all_of_it(found: Evaluation) -> None:
    assert Evaluation.from_json(found.to_json()) == found
    assert len(json.loads(found.to_json())["rows"]) == 6
    lines = found.to_csv().splitlines()
    assert lines[0] == (
        "agent,condition,group,seed,episode,return,length,"
        "available_image,available_sound"
    )
    row = found.rows[2]
    assert lines[3] == f"random,no_image,missing,0,0,{row['return']},40,0.0,1.0"
    for text in ("", "[]", "{}", found.to_json().replace('"length"', '"long"')):
        with pytest.raises(UserError, match="no evaluation of agents"):
            Evaluation.from_json(text)


def test_joining_agents(found: Evaluation) -> None:
    both = Evaluation.join([found, other_agent(found, "other")])
    assert both.agents == ("random", "other")
    assert both.methods == {"random": ("random",), "other": ("other",)}
    with pytest.raises(UserError, match="distinct names"):
        Evaluation.join([found, found])
    elsewhere = Evaluation("Other-v0", {}, 2, (0,), other_agent(found, "x").rows)
    with pytest.raises(UserError, match=r"do not compare: env is .* but 'Other-v0'"):
        Evaluation.join([found, elsewhere])
    told = {**json.loads(found.to_json()), "oracle": "orcle"}
    del told[SEAL]  # of what it was before
    with pytest.raises(UserError, match="unknown method 'orcle'"):
        Evaluation.from_json(json.dumps(told))
