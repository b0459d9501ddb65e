"""Which sensors a policy sees, how they come, and what it is told of them."""

from __future__ import annotations

import pytest
from agent_world import LENGTH, PENDULUM, SHORT, play, short_task

from agents import Perception, Task, make_vec_env
from agents.conditions import Condition
from nexus_rl import UserError, make_model
from nexus_rl.environments import make_env
from nexus_rl.spaces import modalities_from_env
from nexus_rl.wrappers import Fixed, Scripted


def test_the_mask_has_a_column_for_each_sensor_that_is_seen() -> None:
    task = short_task(Perception("raw", sensors=("sound",), mask=True))
    script = Condition("script", Scripted([[1, 1], [1, 0], [1, 0], [1, 1], [1, 1]]))
    observations, _ = play(make_vec_env(task, 1, 0, condition=script), 4)
    masks = [seen["available"][0].tolist() for seen in observations]
    # Both frames are fresh one step after the sound is back.
    assert masks == [[1], [0], [0], [0], [1]]
    assert all(
        (seen["sound"] == 0).all() == (not m[0])
        for seen, m in zip(observations, masks, strict=True)
    )


def test_latents_come_with_a_mask_in_the_order_of_the_model() -> None:
    modalities = modalities_from_env(make_env(PENDULUM, SHORT))
    model = make_model("nexus", modalities[::-1], width=16, latent_dim=4)
    task = short_task(Perception(mask=True))
    deaf = Condition("deaf", Fixed(("image",)))
    observations, _ = play(make_vec_env(task, 2, 0, condition=deaf, model=model), 3)
    assert [m.name for m in model.modalities] == ["sound", "image"]
    assert all((seen[:, -2:] == [0, 1]).all() for seen in observations)


def test_one_sensor_stays_hidden_while_others_are_there() -> None:
    """The policy does not see that another sensor keeps the environment from going."""
    task = short_task(Perception("raw", sensors=("image",)))
    blind = Condition("blind", Fixed(("sound",)))
    observations, infos = play(make_vec_env(task, 2, 0, condition=blind), LENGTH + 2)
    assert all(list(seen) == ["image"] for seen in observations)
    assert not any(seen["image"].any() for seen in observations)
    assert not infos[LENGTH][0]["terminal_observation"]["image"].any()


def test_images_come_with_their_channels_first() -> None:
    task = Task("nexus_rl_tests/Photo-v0", perception=Perception("raw"))
    venv = make_vec_env(task, 2, 0)
    assert venv.observation_space["image"].shape == (3, 10, 12)
    observations, infos = play(venv, 3)
    assert all(seen["image"].shape == (2, 3, 10, 12) for seen in observations)
    final = infos[-1][0]["terminal_observation"]
    # The photo shows how many steps were done.
    assert (final["image"] == 3).all() and final in venv.observation_space
    assert (observations[-1]["image"] == 0).all()
    both = Task("nexus_rl_tests/Photo-v0", {"second": True}, Perception("raw"))
    with pytest.raises(UserError, match=r"all be \(C, H, W\) or all \(H, W, C\)"):
        make_vec_env(both, 1, 0)


def test_formats_of_what_is_no_sensor_here_do_not_matter() -> None:
    task = Task("nexus_rl_tests/Photo-v0", perception=Perception("raw", mask=True))
    half = Condition("half", Scripted([[1, 1], [0, 1]]))
    observations, _ = play(make_vec_env(task, 1, 0, condition=half), 1)
    assert observations[1]["available"].tolist() == [[0, 1]]


def test_blind_environments_are_allowed_where_the_condition_says_so() -> None:
    task = short_task(Perception("raw", mask=True))
    blind = Condition("blind", Scripted([[1, 1], [0, 0]]), min_available=0)
    observations, infos = play(make_vec_env(task, 1, 0, condition=blind), 1)
    assert observations[1]["available"][0].tolist() == [0, 0]
    assert infos[1][0]["available"] == {"image": False, "sound": False}
