"""Watching an agent: what is shown is what it sees, and what was measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from numpy.typing import NDArray
from PIL import Image

from agents.conditions import Condition, conditions_of
from agents.evaluation import RandomAgent, evaluate_subsets
from agents.panels import BARS, MISSING, WRONG, Sight, draw, write_gif
from agents.perception import Task
from agents.watching import Switches, Watched, with_switches
from nexus_rl.errors import UserError
from nexus_rl.wrappers import Bernoulli

ENV = "nexus_rl/MultimodalPendulum-v0"
TASK = Task(ENV, {"image_size": 16, "max_episode_steps": 30})
BOXES: dict[str, spaces.Box] = {
    "image": spaces.Box(0, 255, (2, 16, 16), np.uint8),
    "sound": spaces.Box(0.0, 1.0, (4,), np.float32),
}


@pytest.fixture(scope="module")
def known() -> dict[str, Condition]:
    return conditions_of(ENV)


@pytest.mark.parametrize("name", ["everything", "bernoulli_50", "lie_sound_3"])
def test_the_episodes_are_those_of_the_evaluation(
    known: dict[str, Condition], name: str
) -> None:
    agent = RandomAgent(TASK)
    rows = evaluate_subsets(agent, [name], episodes=3, seeds=(5,)).rows
    watched = Watched(agent, known[name])
    assert watched.fps == 20 and list(watched.boxes) == ["image", "sound"]
    for episode in (2, 0):  # in any order
        sights = list(watched.episode(5, episode))
        assert [sight.step for sight in sights] == list(range(31))
        assert [sight.ended for sight in sights] == [False] * 30 + [True]
        assert sights[-1].total == pytest.approx(rows[episode]["return"])
        for sensor in ("image", "sound"):
            there = np.mean([sight.available[sensor] for sight in sights[:-1]])
            assert there == pytest.approx(rows[episode]["available"][sensor])
    watched.close()


def test_readings_are_the_corrupted_ones(known: dict[str, Condition]) -> None:
    agent = RandomAgent(TASK)
    shown = {}
    for name in ("everything", "freeze_image_3"):
        watched = Watched(agent, known[name])
        shown[name] = list(watched.episode(0, 0))
        watched.close()
    frozen, true = shown["freeze_image_3"][20], shown["everything"][20]
    np.testing.assert_array_equal(frozen.scene, true.scene)
    np.testing.assert_array_equal(frozen.readings["sound"], true.readings["sound"])
    first = shown["everything"][0].readings["image"]
    np.testing.assert_array_equal(frozen.readings["image"], first)
    assert frozen.corrupted == {"image": True} and true.corrupted == {}


def test_sensors_are_switched_by_hand(known: dict[str, Condition]) -> None:
    switches = Switches()
    watched = Watched(RandomAgent(TASK), with_switches(known["everything"], switches))
    seen = []
    for sight in watched.episode(0, 0):
        seen.append((sight.available["image"], sight.available["sound"]))
        if sight.step in (4, 14):
            switches.toggle("image")
        if sight.step == 9:
            switches.toggle("sound")
    assert set(seen[:5]) == {(True, True)}
    assert set(seen[5:10]) == {(False, True)}
    assert set(seen[10:15]) == {(False, False)}  # all of them can be
    # Both frames of a reading have to be fresh.
    assert seen[15] == (False, False) and set(seen[16:30]) == {(True, False)}
    watched.close()
    kept = with_switches(Condition("x", Bernoulli(0.1)), switches)
    assert kept.schedule == (Bernoulli(0.1), switches) and kept.min_available == 1


def test_an_environment_without_pictures(known: dict[str, Condition]) -> None:
    task = Task("uneven_env:nexus_rl_tests/Uneven-v0")
    with pytest.raises(UserError, match="render_mode"):
        Watched(RandomAgent(task), known["everything"])


def sight(**changes: Any) -> Sight:
    image = np.zeros((2, 16, 16), np.uint8)
    image[1, :, :8] = 255
    given: dict[str, Any] = {
        "title": "no sound",
        "scene": np.full((48, 48, 3), (0, 255, 0), np.uint8),
        "readings": {"image": image, "sound": np.array([0.0, 1.0, 0.5, np.nan])},
        "available": {"image": True, "sound": True},
        "corrupted": {},
        "step": 3,
        "total": -12.0,
    }
    given["readings"]["sound"][3] = 0.25
    return Sight(**{**given, **changes})


def pixels(picture: Image.Image) -> NDArray[np.uint8]:
    return np.asarray(picture.convert("RGB"))


def count(picture: Image.Image, colour: tuple[int, int, int]) -> int:
    return int((pixels(picture) == colour).all(axis=-1).sum())


def test_a_missing_sensor_is_struck_out_and_shows_nothing() -> None:
    whole = draw([sight()], BOXES, 240)
    assert count(whole, MISSING) == 0 and count(whole, BARS) > 500
    assert count(whole, (0, 255, 0)) > 200 * 200
    gone = draw([sight(available={"image": True, "sound": False})], BOXES, 240)
    assert count(gone, BARS) == 0 and count(gone, MISSING) > 500
    # Whatever the reading is.
    readings = {**sight().readings, "sound": np.full(4, np.nan)}
    hidden = sight(available={"image": True, "sound": False}, readings=readings)
    np.testing.assert_array_equal(pixels(draw([hidden], BOXES, 240)), pixels(gone))


def test_a_wrong_sensor_is_marked() -> None:
    wrong = draw([sight(corrupted={"image": True})], BOXES, 240)
    assert count(wrong, WRONG) > 200 and count(draw([sight()], BOXES, 240), WRONG) == 0


def test_an_image_shows_its_last_frame() -> None:
    shown = pixels(draw([sight()], BOXES, 240))
    # The left half of the tile is white and the right black.
    black = (shown == 0).all(axis=-1)
    rows = np.flatnonzero(black.sum(axis=1) > 30)
    columns = np.flatnonzero(black[rows].all(axis=0))
    assert 80 <= len(rows) <= 88 and 40 <= len(columns) <= 44
    left = shown[rows[4] : rows[-4], columns[0] - 30 : columns[0] - 2]
    assert (left == 255).all()


def test_the_frames_of_an_image_may_come_last() -> None:
    readings = dict(sight().readings)
    readings["image"] = np.moveaxis(readings["image"], 0, -1)
    boxes = {**BOXES, "image": spaces.Box(0, 255, (16, 16, 2), np.uint8)}
    turned = draw([sight(readings=readings)], boxes, 240)
    np.testing.assert_array_equal(pixels(turned), pixels(draw([sight()], BOXES, 240)))


def test_panels_stand_side_by_side() -> None:
    one, other = sight(), sight(title="other", step=9)
    both = pixels(draw([one, other], BOXES, 200))
    assert both.shape[1] == 400
    alone = pixels(draw([other], BOXES, 200))
    np.testing.assert_array_equal(both[:, 203:], alone[:, 3:])


@pytest.mark.parametrize(
    "box", [spaces.Box(-np.inf, np.inf, (3,)), spaces.Box(-1.0, 1.0, (1000,))]
)
def test_numbers_of_any_range_and_size(box: spaces.Box) -> None:
    reading = np.linspace(-1, 1, box.shape[0]).astype(np.float32)
    shown = sight(readings={"x": reading}, available={"x": True})
    assert count(draw([shown], {"x": box}, 200), BARS) > 300


def test_a_gif_has_the_frames_and_their_colours(tmp_path: Path) -> None:
    late = sight(available={"image": False, "sound": False}, step=4)
    frames = [draw([each], BOXES, 160) for each in (sight(), late)]
    path = tmp_path / "new" / "out.gif"
    assert write_gif(path, iter(frames), fps=10) == 2
    with Image.open(path) as written:
        assert (written.n_frames, written.info["duration"]) == (2, 100)  # type: ignore[attr-defined]
        written.seek(1)
        # Red comes with the second frame, and is of the palette all the same.
        assert count(written, MISSING) == pytest.approx(count(frames[1], MISSING), 0.1)
    assert list(path.parent.iterdir()) == [path]
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        write_gif(tmp_path / "file" / "out.gif", iter(frames), fps=10)
