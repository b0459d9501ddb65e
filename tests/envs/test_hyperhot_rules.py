"""The rules of HyperHot, one by one."""

import math

import numpy as np
import pytest

from envs import hyperhot_rules as rules
from envs.hyperhot_rules import LEFT, NOOP, RIGHT, SHOOT, SHOOT_LEFT, SHOOT_RIGHT, Game


def new_game(enemies=4, time_limit=450, pacifist=True, seed=0):
    return Game(enemies, time_limit, pacifist, np.random.default_rng(seed))


def play(game, action, steps):
    return [game.step(action) for _ in range(steps)]


def empty_game():
    game = new_game()
    game.enemies.clear()
    return game


class TestState:
    def test_names_the_next_bullet_to_arrive(self):
        game = new_game(2)  # enemies at 56 and 104
        game.ship_left, game.direction = 88, -1
        game.enemy_bullets = {0: (56, 100), 1: (120, 148)}
        assert game.state() == pytest.approx([0.25, 0, -1, 0.25, 0.25])

    def test_a_bullet_that_has_passed_is_no_threat(self):
        game = new_game(1)  # one at 80
        game.ship_left, game.direction = 68, 1
        game.enemy_bullets = {0: (80, 185)}
        assert game.state() == pytest.approx([0, 0, 1, 0, 1])

    def test_of_a_game_without_enemies(self):
        assert empty_game().state()[1:].tolist() == [0, 0, 0, 1]


class TestShip:
    def test_starts_anywhere_in_its_range(self):
        centres = {new_game(seed=seed).ship_centre[0] for seed in range(2000)}
        assert centres == set(range(10, 131))
        assert new_game().ship_centre[1] == 184

    @pytest.mark.parametrize(
        ("action", "velocity"),
        [(NOOP, 0), (LEFT, -5), (RIGHT, 5), (SHOOT_LEFT, -5), (SHOOT_RIGHT, 5)],
    )
    def test_moves_five_pixels_a_frame(self, action, velocity):
        game = new_game()
        game.ship_left = 60
        play(game, action, 3)
        assert game.ship_left == 60 + 3 * velocity

    def test_shooting_alone_keeps_the_velocity(self):
        game = new_game()
        game.ship_left = 60
        play(game, SHOOT, 1)
        assert game.ship_left == 60
        play(game, LEFT, 1)
        play(game, SHOOT, 2)
        assert game.ship_left == 45
        play(game, NOOP, 1)
        play(game, SHOOT, 2)
        assert game.ship_left == 45

    def test_is_blocked_near_the_edges(self):
        game = new_game()
        game.ship_left = 22
        play(game, LEFT, 10)
        assert game.ship_left == 7
        play(game, RIGHT, 40)
        assert game.ship_left == 132
        play(game, LEFT, 1)
        assert game.ship_left == 127


class TestPlayersBullet:
    def test_starts_at_the_ship_and_flies_up(self):
        game = new_game()
        x = game.ship_centre[0]
        play(game, SHOOT, 1)
        assert game.bullet == (x, 177)
        play(game, NOOP, 2)
        assert game.bullet == (x, 165)

    def test_is_the_only_one(self):
        game = empty_game()
        game.ship_left = 60
        game.step(SHOOT)
        x = game.bullet[0]
        for frame in range(1, 30):
            game.step(SHOOT_RIGHT)
            assert game.bullet == (x, 177 - 6 * frame)
        assert game.bullet[1] == 3
        # It leaves the screen, and the next one starts in the same frame.
        game.step(SHOOT)
        assert game.bullet == (game.ship_centre[0], 177)

    @pytest.mark.parametrize(("gap", "dies"), [(15, True), (16, False)])
    def test_kills_an_enemy_whose_circle_it_touches(self, gap, dies):
        game = new_game(enemies=1)
        game.direction = 1
        game.bullet = (80 + 1 + gap, rules.ENEMY_Y + rules.BULLET_SPEED)
        assert math.hypot(8, 8) + math.hypot(3, 3) == pytest.approx(15.556, abs=1e-3)
        game.step(NOOP)
        assert (not game.enemies) == dies
        assert (game.bullet is None) == dies

    @pytest.mark.parametrize(("gap", "die"), [(8, True), (9, False)])
    def test_and_an_enemys_bullet_destroy_each_other(self, gap, die):
        game = new_game()
        game.bullet = (80, 126)
        game.enemy_bullets = {0: (80 + gap, 114), 1: (20, 114)}
        game.step(NOOP)
        assert (game.bullet is None) == die
        assert (0 not in game.enemy_bullets) == die
        assert 1 in game.enemy_bullets and len(game.enemies) == 4

    def test_takes_about_twenty_frames_to_the_enemies(self):
        game = new_game(enemies=1)
        game.ship_left = game.enemies[0] - 12
        game.step(SHOOT)
        frames = 0
        while game.enemies:
            game.enemies[0] = game.bullet[0]
            game.step(NOOP)
            frames += 1
        assert frames == 21


class TestEnemies:
    @pytest.mark.parametrize(
        ("count", "starts"),
        [(1, [80]), (2, [56, 104]), (3, [32, 80, 128]), (4, [32, 64, 96, 128])],
    )
    def test_start_in_a_row(self, count, starts):
        assert list(new_game(count).enemies.values()) == starts

    def test_start_in_a_random_direction(self):
        assert {new_game(seed=seed).direction for seed in range(20)} == {-1, 1}

    def test_move_together_and_bounce(self):
        game = new_game()
        game.direction = -1
        left_edges, right_edges = [], []
        for _ in range(400):
            before = list(game.enemies.values())
            game.step(NOOP)
            after = list(game.enemies.values())
            assert {b - a for a, b in zip(before, after, strict=True)} <= {-1, 1}
            assert np.ptp(np.subtract(after, before)) == 0
            left_edges.append(min(after) - 8)
            right_edges.append(max(after) + 8)
        assert min(left_edges) == 5 and max(right_edges) == 155

    def test_only_living_enemies_bounce(self):
        game = new_game()
        del game.enemies[0], game.enemies[3]
        edges = []
        for _ in range(400):
            game.step(NOOP)
            edges += [min(game.enemies.values()) - 8, max(game.enemies.values()) + 8]
        assert min(edges) == 5 and max(edges) == 155

    def test_fire_every_six_frames_until_all_have_a_bullet(self):
        game = new_game(pacifist=False)
        game.ship_left = 1000
        counts = []
        for _ in range(27):
            game.step(NOOP)
            counts.append(len(game.enemy_bullets))
        assert counts == [0] * 5 + [1] * 6 + [2] * 6 + [3] * 6 + [4] * 4
        # The fifth shot waits until the first bullet has left the screen.
        bullets = []
        for _ in range(400):
            game.step(NOOP)
            bullets.append(len(game.enemy_bullets))
        assert max(bullets) == 4

    def test_fire_from_where_they_are_straight_down(self):
        game = new_game(pacifist=False)
        play(game, NOOP, 6)
        [(shooter, place)] = game.enemy_bullets.items()
        assert place == (game.enemies[shooter], 51)
        play(game, NOOP, 2)
        assert game.enemy_bullets[shooter] == (place[0], 63)

    def test_all_get_to_fire(self):
        shooters = set()
        for seed in range(40):
            game = new_game(pacifist=False, seed=seed)
            play(game, NOOP, 6)
            shooters |= set(game.enemy_bullets)
        assert shooters == {0, 1, 2, 3}

    def test_bullets_outlive_them_and_die_below_the_screen(self):
        game = new_game(enemies=1)
        game.ship_left = 1000
        game.enemy_bullets = {0: (80, 60)}
        game.enemies.clear()
        alive = 0
        while game.enemy_bullets:
            game.step(NOOP)
            alive += 1
        assert 60 + 6 * (alive - 1) - 3 < 210 <= 60 + 6 * alive - 3

    def test_pacifists_never_fire(self):
        game = new_game(pacifist=True)
        play(game, NOOP, 449)
        assert not game.enemy_bullets and len(game.enemies) == 4


class TestEnd:
    @pytest.mark.parametrize(("gap", "outcome"), [(16, "hit"), (17, "playing")])
    def test_a_bullet_within_reach_ends_the_game(self, gap, outcome):
        game = new_game()
        x, y = game.ship_centre
        game.enemy_bullets = {0: (x, y - gap - rules.BULLET_SPEED)}
        assert game.step(NOOP) == outcome

    def test_the_win_shows_one_step_after_the_last_kill(self):
        game = new_game(enemies=1)
        game.bullet = (80, 60)
        outcomes = []
        while not outcomes or outcomes[-1] == "playing":
            lived = bool(game.enemies)
            outcomes.append(game.step(NOOP))
        assert outcomes[-1] == "won" and not lived
        assert outcomes[-2] == "playing"

    def test_time_is_up_after_the_last_frame(self):
        game = new_game(time_limit=450)
        outcomes = play(game, NOOP, 450)
        assert outcomes == ["playing"] * 449 + ["time_up"]

    def test_time_comes_before_death_and_death_before_the_win(self):
        game = empty_game()
        x, y = game.ship_centre
        game.enemy_bullets = {0: (x, y)}
        assert game.step(NOOP) == "hit"
        game = empty_game()
        game.enemy_bullets = {0: (x, y)}
        game.time_limit = 1
        assert game.step(NOOP) == "time_up"
