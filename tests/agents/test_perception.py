"""What a policy sees of an environment, also at the end of an episode."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from agent_world import (
    LENGTH,
    action,
    play,
    save_encoder,
    short_config,
    short_task,
)
from gymnasium import spaces

from agents import Perception, Task, make_vec_env
from agents.algorithms import build
from agents.conditions import Condition
from nexus_rl import (
    NexusObservation,
    SensorDropout,
    UserError,
    load_model,
)
from nexus_rl.environments import make_env
from nexus_rl.wrappers import Bernoulli, Gaussian

STACK = {"image": 2, "sound": 2}
HALF = Condition("half", Bernoulli(0.3))
KINDS = {
    "state": Perception("state"),
    "raw": Perception("raw", fill="hold", mask=True),
    "one sensor": Perception("raw", sensors=("sound",)),
    "latent": Perception("latent", mask=True),
}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_encoder(tmp_path_factory.mktemp("encoder") / "model")


@pytest.fixture(params=KINDS)
def task(request: pytest.FixtureRequest, encoder: str) -> Task:
    seen = KINDS[request.param]
    folder = encoder if seen.kind == "latent" else None
    return short_task(Perception(**{**asdict(seen), "encoder": folder}))


def alone(task: Task, seed: int, env_index: int) -> list[Any]:
    """An episode of one environment by itself, and what the next one begins with."""
    seen = task.perception
    env: Any = make_env(task.env, task.env_kwargs)
    if seen.kind != "state":
        env = SensorDropout(env, Bernoulli(0.3), seen.fill, stack=STACK)
    if seen.kind == "latent":
        env = NexusObservation(env, seen.encoder, append_mask=seen.mask)
    observation, info = env.reset(seed=seed)
    shown = [info["state"] if seen.kind == "state" else observation]
    for step in range(LENGTH):
        observation, _, _, _, info = env.step(action(step, env_index))
        shown.append(info["state"] if seen.kind == "state" else observation)
    observation, info = env.reset()
    shown.append(info["state"] if seen.kind == "state" else observation)
    env.close()
    return shown


def row(observation: Any, i: int) -> Any:
    if isinstance(observation, dict):
        return {name: value[i] for name, value in observation.items()}
    return observation[i]


def assert_same(one: Any, other: Any) -> None:
    if not isinstance(one, dict):
        one, other = {"": one}, {"": other}
    for name, value in one.items():
        np.testing.assert_allclose(value, other[name], rtol=1e-4, atol=1e-5)


def test_each_kind_shows_what_single_wrappers_do_also_when_an_episode_ends(
    task: Task,
) -> None:
    observations, infos = play(make_vec_env(task, 2, 5, condition=HALF), LENGTH)
    for env in range(2):
        *expected, following = alone(task, 5 + env, env)
        assert_same(row(observations[LENGTH], env), following)
        for step in range(LENGTH):
            assert_same(row(observations[step], env), expected[step])
        final = infos[-1][env]["terminal_observation"]
        assert infos[-1][env]["TimeLimit.truncated"]
        assert_same(final, expected[-1])
        if isinstance(final, dict):
            assert set(final) == set(observations[0])


def test_observations_fit_their_space(task: Task) -> None:
    venv = make_vec_env(task, 2, 5, condition=HALF)
    space = venv.observation_space
    observations, infos = play(venv, LENGTH)
    assert all(row(seen, i) in space for seen in observations for i in range(2))
    assert infos[-1][0]["terminal_observation"] in space


def test_algorithms_learn_from_the_last_observation_and_that_it_is_no_end(
    task: Task,
) -> None:
    """A replay buffer holds what followed the last step, not the next episode."""
    venv = make_vec_env(task, 1, 5, condition=HALF)
    agent = build(short_config(task.perception, "sac", params={"n_envs": 1}), venv)
    agent.learn(LENGTH + 5)
    buffer: Any = vars(agent)["replay_buffer"]
    following, first = buffer.next_observations, buffer.observations
    if not isinstance(following, dict):
        following, first = {"": following}, {"": first}
    last, new = LENGTH - 1, LENGTH
    assert buffer.dones[last] == 1 and buffer.timeouts[last] == 1
    for name in first:
        assert np.array_equal(following[name][last - 1], first[name][last])
    # The next episode begins elsewhere.
    assert any(
        not np.array_equal(following[name][last], first[name][new]) for name in first
    )
    venv.close()


def test_an_episode_that_is_over_is_not_called_cut_off() -> None:
    task = Task("nexus_rl_tests/Follow-v0", perception=Perception("raw"))
    venv = make_vec_env(task, 2, 0)
    venv.reset()
    for _ in range(10):
        following, _, dones, infos = venv.step(np.zeros(2, np.int64))
    assert dones.all() and not any(info["TimeLimit.truncated"] for info in infos)
    finals = [info["terminal_observation"]["left"] for info in infos]
    assert not np.array_equal(finals, following["left"])
    venv.close()


def test_the_state_is_that_of_the_environment_whatever_fails() -> None:
    task = short_task(Perception("state"))
    noise = Condition("noise", corruptions={"image": Gaussian(0.3)})
    seen = [
        play(make_vec_env(task, 2, 1, condition=condition), LENGTH + 3)[0]
        for condition in (None, HALF, noise)
    ]
    assert np.array_equal(seen[0], seen[1]) and np.array_equal(seen[0], seen[2])
    assert make_vec_env(task, 1, 0).observation_space == spaces.Box(
        -np.inf, np.inf, (3,), np.float32
    )


def test_without_a_condition_all_sensors_count_as_there() -> None:
    task = short_task(Perception("raw", mask=True))
    observations, _ = play(make_vec_env(task, 2, 0), LENGTH + 1)
    assert all((seen["available"] == 1).all() for seen in observations)
    assert list(observations[0]) == ["image", "sound", "available"]
    plain = make_vec_env(short_task(Perception("raw")), 1, 0)
    assert list(plain.observation_space) == ["image", "sound"]


def test_corruptions_change_readings_but_not_the_mask() -> None:
    task = short_task(Perception("raw", mask=True))
    noise = Condition("noise", corruptions={"image": Gaussian(0.3)})
    sound = play(make_vec_env(task, 1, 0), 3)[0]
    wrong = play(make_vec_env(task, 1, 0, condition=noise), 3)[0]
    for fine, seen in zip(sound, wrong, strict=True):
        assert not np.array_equal(fine["image"], seen["image"])
        assert np.array_equal(fine["sound"], seen["sound"])
        assert np.array_equal(fine["available"], seen["available"])


def test_a_loaded_model_serves_as_well_as_its_folder(encoder: str) -> None:
    by_folder = make_vec_env(short_task(Perception(encoder=encoder)), 2, 0)
    model = load_model(encoder)
    by_model = make_vec_env(short_task(Perception()), 2, 0, model=model)
    assert np.array_equal(play(by_folder, 3)[0], play(by_model, 3)[0])


def test_tasks_survive_json() -> None:
    seen = Perception("raw", sensors=("sound",), fill="hold", mask=True)
    task = Task("nexus_rl/HyperHot-v0", {"enemies": 2}, seen)
    assert Task.from_json(json.loads(json.dumps(task.to_json()))) == task


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"kind": "pixels"}, "unknown kind of perception 'pixels'"),
        ({"kind": "raw", "fill": "noise"}, "unknown fill 'noise'"),
        ({"kind": "raw", "encoder": "runs/x"}, "encoder is for latents, not for raw"),
        ({"sensors": ("image",)}, "for raw sensors, not latent"),
        ({"kind": "state", "fill": "hold"}, "for raw sensors, not state"),
        ({"kind": "state", "mask": True}, "mask is not for the true state"),
    ],
)
def test_options_that_a_kind_does_not_have_are_refused(
    options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        Perception(**options)


@pytest.mark.parametrize(
    ("env", "perception", "said"),
    [
        ("nexus_rl/MultimodalPendulum-v0", Perception(), "folder of an encoder"),
        ("CartPole-v1", Perception("state"), "tells no true state"),
        ("CartPole-v1", Perception("raw"), "observations must be a Dict"),
        (
            "nexus_rl/HyperHot-v0",
            Perception("raw", sensors=("smell",)),
            "unknown sensor 'smell'",
        ),
    ],
)
def test_what_an_environment_does_not_have_is_refused(
    env: str, perception: Perception, said: str
) -> None:
    with pytest.raises(UserError, match=said):
        make_vec_env(Task(env, perception=perception), 1, 0)


def test_an_encoder_of_another_environment_is_refused(encoder: str) -> None:
    task = Task("nexus_rl/HyperHot-v0", perception=Perception(encoder=encoder))
    with pytest.raises(UserError, match="the model does not fit the environment"):
        make_vec_env(task, 1, 0)


def test_settings_do_not_wait_for_torch() -> None:
    """``--help`` takes this way."""
    code = (
        "import sys, agents; agents.AgentConfig(agents.Task('x'));"
        "print([m for m in ('torch', 'stable_baselines3') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_every_public_name_resolves() -> None:
    import agents

    for name in agents.__all__:
        assert getattr(agents, name).__name__ == name
    with pytest.raises(AttributeError, match="'agents' has no attribute 'Agnt'"):
        agents.Agnt  # noqa: B018
