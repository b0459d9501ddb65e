"""HyperHot as an environment, and its two sensors."""

import math

import gymnasium as gym
import numpy as np
import pytest

from envs import HyperHot
from envs import hyperhot_sensors as sensors
from envs.hyperhot_rules import NOOP, SHOOT, SHOOT_RIGHT, Game

DO, MI, SOL, LA_SHARP = range(4)


def empty_game():
    """A game whose enemies are gone, and with them all sounds."""
    game = Game(4, 450, pacifist=True, rng=np.random.default_rng(0))
    game.enemies.clear()
    return game


class TestEnvironment:
    def test_rewards(self):
        env = HyperHot(enemies=1, pacifist=True, time_limit=0.1)
        env.reset(seed=0)
        results = [env.step(NOOP) for _ in range(3)]
        assert [result[1] for result in results] == [0.0, 0.0, -1.0]
        assert [result[2] for result in results] == [False, False, True]
        assert not any(result[3] for result in results)
        info = results[-1][4]
        assert (info["enemies"], info["outcome"]) == (1, "time_up")
        env.reset()
        env.game.enemies.clear()
        assert env.step(NOOP)[1:3] == (10.0, True)
        env.reset()
        env.game.enemy_bullets = {0: env.game.ship_centre}
        assert env.step(NOOP)[1:3] == (-1.0, True)

    def test_shaped_reward_counts_kills(self):
        rewards = []
        for shaped in (False, True):
            env = HyperHot(enemies=2, pacifist=True, shaped_reward=shaped)
            env.reset(seed=0)
            env.game.bullet = (env.game.enemies[0], 50)
            rewards.append(env.step(NOOP)[1])
        assert rewards == [0.0, 1.0]

    def test_ends_by_its_own_clock(self):
        env = gym.make("envs:nexus_rl/HyperHot-v0", pacifist=True)
        env.reset(seed=0)
        ends = [env.step(NOOP)[2:4] for _ in range(450)]
        assert ends[-1] == (True, False) and ends[-2] == (False, False)

    def test_unknown_actions_are_refused(self):
        env = HyperHot()
        env.reset(seed=0)
        with pytest.raises(ValueError, match="action must be an integer from 0 to 5"):
            env.step(6)

    def test_the_present_frame_becomes_the_previous_one(self):
        env = HyperHot()
        first, _ = env.reset(seed=0)
        assert np.array_equal(first["image"][0], first["image"][1])
        second, *_ = env.step(SHOOT_RIGHT)
        assert np.array_equal(second["image"][0], first["image"][1])
        assert np.array_equal(second["sound"][:16], first["sound"][16:])
        assert not np.array_equal(second["image"][1], first["image"][1])


class TestImage:
    def test_shows_every_second_pixel_of_the_sprites(self):
        game = empty_game()
        game.ship_left = 60
        image = sensors.draw(game)
        # Rows 180..187 and columns 60..83 of the screen.
        assert image[75:79, 30:42].min() == 255
        assert image.sum() == 255 * 4 * 12
        game.enemies = {0: 81}
        game.bullet = (20, 100)
        image = sensors.draw(game)
        # Rows 32..47 and columns 73..88, of which 74, 76, .., 88 are even.
        assert image[1:9, 37:45].min() == 255
        # Rows 97..102 and columns 17..22.
        assert image[34:37, 9:12].min() == 255
        assert image.sum() == 255 * (4 * 12 + 8 * 8 + 3 * 3)

    def test_what_leaves_the_screen_is_cut_off(self):
        game = empty_game()
        game.ship_left = -2
        game.bullet = (0, 1)
        game.enemy_bullets = {0: (159, 188), 1: (80, 209)}
        image = sensors.draw(game)
        assert image[75:79, :11].min() == 255 and image[75:79, 11].max() == 0
        assert image[78, 78:].min() == 255
        assert image.sum() == 255 * (4 * 11 + 2 * 2)


class TestSound:
    def test_amplitude_falls_with_the_distance(self):
        game = empty_game()
        game.ship_left = 60
        game.enemies = {0: 32, 3: 128}
        amplitude = sensors.amplitudes(game)
        places = [(0, 210), (160, 210), (60, 184), (84, 184)]
        for note, x in ((DO, 32), (MI, 128)):
            expected = [math.exp(-0.025 * math.dist((x, 40), p)) for p in places]
            assert amplitude[note] == pytest.approx(expected)
        assert not amplitude[[SOL, LA_SHARP]].any()
        game.bullet, game.enemy_bullets = (84, 184), {0: (0, 210), 2: (0, 210)}
        amplitude = sensors.amplitudes(game)
        assert amplitude[LA_SHARP, 3] == pytest.approx(1.0)
        assert amplitude[SOL, 0] == pytest.approx(2.0)

    def test_silence(self):
        amplitude = sensors.amplitudes(empty_game())
        assert not amplitude.any()
        assert not sensors.bands(amplitude).any()
        assert (sensors.waveform(amplitude, 3) == 0.5).all()

    def test_bands_grow_as_a_source_comes_nearer(self):
        game = empty_game()
        levels = []
        for y in range(60, 180, 6):
            game.enemy_bullets = {0: (game.ship_centre[0], y)}
            levels.append(sensors.bands(sensors.amplitudes(game)).reshape(4, 4)[SOL])
        assert (np.diff(levels, axis=0) > 0).all()
        x, y = game.enemy_bullets[0]
        expected = (7 - 0.025 * math.dist((x, y), (0, 210))) / (7 + math.log(4))
        assert levels[-1][0] == pytest.approx(expected)

    def test_bands_are_one_at_most(self):
        most = np.repeat(sensors.MOST_SOURCES[:, None], 4, axis=1).astype(float)
        assert sensors.bands(most) == pytest.approx(1.0)
        assert not sensors.bands(np.full((4, 4), sensors.FLOOR)).any()

    @pytest.mark.parametrize("note", range(4))
    @pytest.mark.parametrize("frame", [0, 1, 77])
    def test_waveform_holds_what_the_bands_say(self, note, frame):
        """One note: both views give the same amplitude at every receiver."""
        amplitude = np.zeros((4, 4))
        amplitude[note] = [0.1, 0.2, 0.4, 0.8]
        wave = 2 * sensors.waveform(amplitude, frame).reshape(4, -1) - 1
        assert np.abs(wave) == pytest.approx(
            np.repeat(amplitude[note][:, None], 1047, axis=1), abs=1e-6
        )
        level = sensors.bands(amplitude).reshape(4, 4)[note]
        most = sensors.MOST_SOURCES[note]
        heard = sensors.FLOOR * (most / sensors.FLOOR) ** level
        assert heard == pytest.approx(np.abs(wave).max(axis=1), rel=1e-4)

    def test_all_notes_can_be_told_apart_in_the_waveform(self):
        game = Game(4, 450, pacifist=False, rng=np.random.default_rng(1))
        for _ in range(13):
            game.step(SHOOT)
        amplitude = sensors.amplitudes(game)
        assert (amplitude > 0).all() and amplitude.sum(axis=0).max() < 1
        mixed = sensors.mix(amplitude, game.frame)
        alone = np.stack([sensors.mix(np.eye(4)[:, [n]], game.frame) for n in range(4)])
        solved = np.linalg.lstsq(alone[:, 0].T, mixed.T, rcond=None)[0]
        assert solved == pytest.approx(amplitude)

    def test_waves_go_on_from_frame_to_frame(self):
        amplitude = np.zeros((4, 4))
        amplitude[DO, 0] = 1.0
        signal = np.concatenate([sensors.mix(amplitude, f)[0] for f in range(5)])
        edges = np.flatnonzero(np.diff(signal) > 0)
        assert (np.diff(edges) == 169).all()
        assert sensors.PERIODS == (169, 134, 112, 95)

    def test_loud_sums_are_scaled_down(self):
        signal = sensors.mix(np.full((4, 4), 1.0), 0)
        assert np.abs(signal).max() == 1.0
        assert len(np.unique(signal.round(6))) > 2

    def test_waveform_environment(self):
        env = HyperHot(sound="waveform")
        observation, _ = env.reset(seed=0)
        assert observation["sound"].shape == (2 * 4 * 1047,)
        bands = HyperHot()
        assert bands.reset(seed=0)[0]["sound"].shape == (2 * 16,)
