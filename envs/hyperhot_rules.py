"""The rules of HyperHot, after the game of MUSE (Vasco et al.), without any sensor.

The screen is 160 pixels wide and 210 high, x to the right and y downward. Enemies and
bullets are placed by their centres, the ship by its left edge.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Outcome = Literal["playing", "won", "hit", "time_up"]
Point = tuple[int, int]

FPS = 30
SCREEN_WIDTH, SCREEN_HEIGHT = 160, 210

SHIP_WIDTH, SHIP_HEIGHT, SHIP_TOP = 24, 8, 180
SHIP_Y = SHIP_TOP + SHIP_HEIGHT // 2
SHIP_SPEED = 5
SHIP_LEFT_BLOCK, SHIP_RIGHT_BLOCK = 10, 130

ENEMY_SIZE, ENEMY_Y = 16, 40
ENEMY_STARTS = {1: (80,), 2: (56, 104), 3: (32, 80, 128), 4: (32, 64, 96, 128)}
ENEMY_MARGIN = 5
FIRE_PERIOD = 6

BULLET_SIZE, BULLET_SPEED = 6, 6

# Sprites collide when the circles around their rectangles touch.
SHIP_RADIUS = math.hypot(SHIP_WIDTH, SHIP_HEIGHT) / 2
ENEMY_RADIUS = math.hypot(ENEMY_SIZE, ENEMY_SIZE) / 2
BULLET_RADIUS = math.hypot(BULLET_SIZE, BULLET_SIZE) / 2

NOOP, LEFT, RIGHT, SHOOT, SHOOT_LEFT, SHOOT_RIGHT = range(6)
# Shooting alone is absent: it keeps the ship's velocity.
VELOCITY = {
    NOOP: 0,
    LEFT: -SHIP_SPEED,
    RIGHT: SHIP_SPEED,
    SHOOT_LEFT: -SHIP_SPEED,
    SHOOT_RIGHT: SHIP_SPEED,
}


class Game:
    """One game: ``step`` it until the outcome is no longer "playing".

    ``enemies`` is 1 to 4, ``time_limit`` a number of frames. All chance comes from
    ``rng``: the ship's start, the enemies' direction and who of them fires.
    """

    def __init__(
        self, enemies: int, time_limit: int, pacifist: bool, rng: np.random.Generator
    ) -> None:
        self.time_limit = time_limit
        self.pacifist = pacifist
        self.rng = rng
        self.frame = 0
        self.ship_left = int(rng.integers(10, 130, endpoint=True)) - SHIP_WIDTH // 2
        self.ship_velocity = 0
        self.bullet: Point | None = None
        # Living enemies by number, and each enemy's only bullet, which outlives it.
        self.enemies: dict[int, int] = dict(enumerate(ENEMY_STARTS[enemies]))
        self.enemy_bullets: dict[int, Point] = {}
        self.direction = 1 if rng.integers(2) else -1

    @property
    def ship_centre(self) -> Point:
        """The middle of the ship."""
        return self.ship_left + SHIP_WIDTH // 2, SHIP_Y

    def state(self) -> NDArray[np.float64]:
        """Ship, row, direction, dx and dy as ``HyperHot`` describes them, (5,)."""
        half = SCREEN_WIDTH / 2
        ship, _ = self.ship_centre
        row, direction, dx, dy = half, 0, 0.0, 1.0
        if self.enemies:
            row = sum(self.enemies.values()) / len(self.enemies)
            direction = self.direction
        above = [place for place in self.enemy_bullets.values() if place[1] <= SHIP_Y]
        if above:
            x, y = max(above, key=lambda place: place[1])
            dx, dy = (x - ship) / half, (SHIP_Y - y) / (SHIP_Y - ENEMY_Y)
        return np.array([ship / half - 1, row / half - 1, direction, dx, dy])

    def step(self, action: int) -> Outcome:
        """Play one frame (1/30 s) and tell how the game stands."""
        # The table of the living is read before the frame is played, so a win shows
        # one step after the last kill.
        all_dead = not self.enemies
        self.frame += 1
        self._move_ship(action)
        self._move_enemies()
        self._move_bullets()
        self._shoot(action)
        if self.frame % FIRE_PERIOD == 0 and not self.pacifist:
            self._enemy_fire()
        self._collide_bullets()
        self._collide_enemies()
        if self.frame >= self.time_limit:
            return "time_up"
        if self._ship_is_hit():
            return "hit"
        return "won" if all_dead else "playing"

    def _move_ship(self, action: int) -> None:
        self.ship_velocity = VELOCITY.get(action, self.ship_velocity)
        blocked_left = self.ship_velocity < 0 and self.ship_left < SHIP_LEFT_BLOCK
        blocked_right = self.ship_velocity > 0 and self.ship_left > SHIP_RIGHT_BLOCK
        if not (blocked_left or blocked_right):
            self.ship_left += self.ship_velocity

    def _move_enemies(self) -> None:
        if not self.enemies:
            return
        half = ENEMY_SIZE // 2
        if min(self.enemies.values()) - half <= ENEMY_MARGIN:
            self.direction = 1
        elif max(self.enemies.values()) + half >= SCREEN_WIDTH - ENEMY_MARGIN:
            self.direction = -1
        for number in self.enemies:
            self.enemies[number] += self.direction

    def _move_bullets(self) -> None:
        """Bullets fly on and die where nothing of them is left on the screen."""
        half = BULLET_SIZE // 2
        if self.bullet is not None:
            x, y = self.bullet[0], self.bullet[1] - BULLET_SPEED
            self.bullet = (x, y) if y + half > 0 else None
        moved = {n: (x, y + BULLET_SPEED) for n, (x, y) in self.enemy_bullets.items()}
        self.enemy_bullets = {
            n: (x, y) for n, (x, y) in moved.items() if y - half < SCREEN_HEIGHT
        }

    def _shoot(self, action: int) -> None:
        if action >= SHOOT and self.bullet is None:
            self.bullet = (self.ship_centre[0], SHIP_TOP - BULLET_SIZE // 2)

    def _enemy_fire(self) -> None:
        # Four bullets at most: one for each of at most four enemies.
        ready = [n for n in self.enemies if n not in self.enemy_bullets]
        if ready:
            shooter = ready[int(self.rng.integers(len(ready)))]
            y = ENEMY_Y + (ENEMY_SIZE + BULLET_SIZE) // 2
            self.enemy_bullets[shooter] = (self.enemies[shooter], y)

    def _collide_bullets(self) -> None:
        for number, place in self.enemy_bullets.items():
            if self._bullet_touches(place, BULLET_RADIUS):
                del self.enemy_bullets[number]
                self.bullet = None
                return

    def _collide_enemies(self) -> None:
        for number, x in self.enemies.items():
            if self._bullet_touches((x, ENEMY_Y), ENEMY_RADIUS):
                del self.enemies[number]
                self.bullet = None
                return

    def _bullet_touches(self, place: Point, radius: float) -> bool:
        if self.bullet is None:
            return False
        return math.dist(self.bullet, place) <= BULLET_RADIUS + radius

    def _ship_is_hit(self) -> bool:
        reach = SHIP_RADIUS + BULLET_RADIUS
        return any(
            math.dist(self.ship_centre, place) <= reach
            for place in self.enemy_bullets.values()
        )
