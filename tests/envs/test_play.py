"""The playable script, without a screen."""

import importlib.util
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from dial_world import write_mnist

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "play.py"
SILENT = {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *arguments],
        env={**os.environ, **SILENT, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.fixture
def play_module():
    spec = importlib.util.spec_from_file_location("play", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_help_imports_nothing_heavy(play_module):
    code = (
        f"import sys, runpy; sys.argv = ['play.py', '--help']\n"
        f"try: runpy.run_path({str(SCRIPT)!r}, run_name='__main__')\n"
        "except SystemExit as end: assert end.code == 0\n"
        "assert not {'gymnasium', 'numpy', 'pygame', 'torch'} & set(sys.modules)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "--steps" in result.stdout
    assert set(play_module.ENVIRONMENTS) == {
        name for name in gym.registry if name.startswith("nexus_rl/")
    }


def test_unknown_environment_gets_a_suggestion():
    result = run("--env", "nexus_rl/HyperCold-v0")
    assert result.returncode == 2
    assert "Did you mean 'nexus_rl/HyperHot-v0'?" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["HyperHot-v0", "MultimodalPendulum-v0"])
def test_plays_a_number_of_steps(name):
    result = run("--env", f"nexus_rl/{name}", "--steps", "5", "--seed", "0")
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("stopped after 5 steps, score ")
    assert result.stderr == ""


def test_plays_the_dial_or_says_what_it_needs(tmp_path):
    command = ["--env", "nexus_rl/DigitDial-v0", "--steps", "2", "--env-kwargs"]
    kwargs = ["data=mnist", "show_target=false", f"folder={tmp_path}"]
    refused = run(*command, *kwargs)
    assert refused.returncode == 2 and "Traceback" not in refused.stderr
    assert f"are in none of\n  {tmp_path}/mnist" in refused.stderr
    assert "MODULE:ID" not in refused.stderr
    write_mnist(tmp_path)
    result = run(*command, *kwargs)
    assert result.returncode == 0 and result.stderr == ""
    assert result.stdout.startswith("stopped after 2 steps, score ")


def test_plays_with_arguments_of_the_environment():
    short = run("--env-kwargs", "time_limit=0.1", "--steps", "5", "--seed", "0")
    assert short.returncode == 0, short.stderr
    assert short.stdout.startswith("episode 1: score -1.0\n")
    for arguments, message in (
        (["enemy=2"], "Did you mean 'enemies'?"),
        (["enemies=9"], "enemies must be 1, 2, 3 or 4, got 9"),
        (["enemies"], "expected NAME=VALUE"),
    ):
        refused = run("--env-kwargs", *arguments, "--steps", "5")
        assert refused.returncode == 2
        assert message in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.parametrize(
    ("pressed", "game_action", "torque", "turn"),
    [
        ("", 0, 0, 1),
        ("LEFT", 1, 1, 0),
        ("RIGHT", 2, -1, 2),
        ("SPACE", 3, 0, 1),
        ("LEFT SPACE", 4, 1, 0),
        ("RIGHT SPACE", 5, -1, 2),
        ("LEFT RIGHT", 0, 0, 1),
    ],
)
def test_keys_steer(
    play_module, monkeypatch, tmp_path, pressed, game_action, torque, turn
):
    import pygame

    keys = defaultdict(bool)
    keys.update({getattr(pygame, f"K_{key}"): True for key in pressed.split()})
    monkeypatch.setattr(pygame.key, "get_pressed", lambda: keys)
    game = gym.make("envs:nexus_rl/HyperHot-v0")
    assert play_module.pressed_action(game) == game_action
    assert game.action_space.contains(play_module.pressed_action(game))
    pendulum = gym.make("envs:nexus_rl/MultimodalPendulum-v0")
    assert play_module.pressed_action(pendulum) == np.array([torque])
    folder = write_mnist(tmp_path)
    dial = gym.make("envs:nexus_rl/DigitDial-v0", data="mnist", folder=folder)
    assert play_module.pressed_action(dial) == turn


@pytest.mark.parametrize(("event", "quits"), [("escape", 1), ("close", 1), ("a", 0)])
def test_escape_and_closing_the_window_quit(play_module, monkeypatch, event, quits):
    import pygame

    for name, value in SILENT.items():
        monkeypatch.setenv(name, value)
    env = gym.make("envs:nexus_rl/HyperHot-v0", render_mode="human")
    env.reset(seed=0)
    pygame.event.clear()
    if event == "close":
        pygame.event.post(pygame.event.Event(pygame.QUIT))
    else:
        key = pygame.K_ESCAPE if event == "escape" else pygame.K_a
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key))
    assert play_module.wants_to_quit() == bool(quits)
    assert not play_module.wants_to_quit()
    env.close()
