"""The command line that shows an agent."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from agent_folders import save_tiny
from PIL import Image
from script_runs import Finished, Script, error_line, load_script

from agents.perception import Perception, Task
from nexus_rl import UserError


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an agent. Do not write into it."""
    folder = tmp_path_factory.mktemp("watched")
    save_tiny(folder / "agent")
    return folder


def watch(folder: Path, *arguments: object) -> Finished:
    """Runs ``watch_agent.py`` in ``folder`` to its end."""
    return Script("watch_agent.py", arguments, folder).finish()


def frames(path: Path) -> tuple[int, tuple[int, int]]:
    with Image.open(path) as written:
        return written.n_frames, written.size  # type: ignore[attr-defined]


def test_a_gif_of_several_conditions(home: Path, tmp_path: Path) -> None:
    agent = home / "agent"
    names = ["--conditions", "everything", "no_image", "blackout_5"]
    options = ["--gif", "out.gif", "--width", "120"]
    done = watch(tmp_path, agent, *names, *options, "--every", "2", "--episodes", "2")
    assert done.code == 0, done.said
    number, (width, _) = frames(tmp_path / "out.gif")
    # Every second of 20 steps, and the end, which two pictures never skip.
    assert (number, width) == (22, 360)
    assert "out.gif: 22 pictures" in done.said
    error = error_line(watch(tmp_path, agent, *options))
    assert "out.gif exists" in error and "--overwrite" in error
    short = ["--overwrite", "--steps", "5", "--drop", "image", "sound"]
    assert watch(tmp_path, agent, *options, *short).code == 0
    assert frames(tmp_path / "out.gif")[0] == 5


def test_a_window(home: Path, tmp_path: Path) -> None:
    done = watch(tmp_path, home / "agent", "--steps", "25", "--condition", "no_image")
    assert done.code == 0, done.said
    assert "1 image, 2 sound" in done.said


def test_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    import pygame

    script: ModuleType = load_script("watch_agent.py")
    pygame.display.init()
    pygame.display.set_mode((10, 10))
    pygame.event.clear()
    for key in (pygame.K_2, pygame.K_SPACE):
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
    assert script.pressed() == ["2", "space"]
    assert script.pressed() == []
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_ESCAPE))
    assert script.pressed() == ["quit"]
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert script.pressed() == ["quit"]
    pygame.display.quit()


def test_mistakes_are_one_line(home: Path, tmp_path: Path) -> None:
    agent = home / "agent"

    def refused(*arguments: object) -> str:
        error = error_line(watch(tmp_path, *arguments, "--gif", "out.gif"))
        assert not (tmp_path / "out.gif").exists()
        return error

    assert "Did you mean 'image'?" in refused(agent, "--drop", "imgae")
    assert "Did you mean 'no_image'?" in refused(agent, "--condition", "no_imag")
    assert "not both" in refused(agent, "--drop", "image", "--condition", "no_sound")
    assert "no agent at" in refused(tmp_path)
    assert "--episodes must be" in refused(agent, "--episodes", "0")
    assert "--steps must be" in refused(agent, "--steps", "0")
    assert "GIFs only" in error_line(watch(tmp_path, agent, "--gif", "out.mp4"))
    assert "threads must be at least 0" in refused(agent, "--threads", "-1")


def test_a_reliable_sensor_cannot_be_dropped() -> None:
    script: ModuleType = load_script("watch_agent.py")
    env = "nexus_rl/MultimodalPendulum-v0"
    task = Task(env, {}, Perception(), reliable=("sound",))
    args = script.Args(Path("agent"), drop=("image",))
    (condition,) = script.conditions_for(args, task)
    assert condition.name == "without_image"
    with pytest.raises(UserError, match=r"--drop sound: .* reliable.*fail: image$"):
        script.conditions_for(replace(args, drop=("sound",)), task)
