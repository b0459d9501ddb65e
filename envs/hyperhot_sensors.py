"""What HyperHot looks and sounds like."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from envs import hyperhot_rules as rules
from envs.hyperhot_rules import Game

IMAGE_SIZE = 80
# The picture is every second pixel of the rows from 30 to 188.
FIRST_ROW = 30

# do and mi of the enemies, sol of their bullets, la sharp of the player's, in Hz.
NOTES = (261.63, 329.63, 392.00, 466.16)
MOST_SOURCES = np.array([2, 2, 4, 1])
SAMPLE_RATE = 31400
FRAME_SAMPLES = 1047
# Periods in samples are those of 44.1 kHz, as in MUSE (Vasco et al.): played at the
# mixer's rate all notes are lower by the same interval.
PERIODS = tuple(round(44100 / note) for note in NOTES)
DECAY = 0.025

# Nothing on the screen is as far as this from a receiver.
FARTHEST = 280.0
FLOOR = math.exp(-DECAY * FARTHEST)
_LOG_RANGE = np.log(MOST_SOURCES / FLOOR)[:, None]

COLOURS = {
    "ship": (102, 194, 165),
    "bullet": (230, 245, 152),
    "enemy_do": (213, 62, 79),
    "enemy_mi": (253, 174, 97),
    "enemy_bullet": (254, 224, 139),
}
PICTURE_SCALE = 3


def _square_wave(period: int) -> NDArray[np.float64]:
    """A frame and a period of +1 and -1, to be cut out at any phase."""
    time = np.arange(FRAME_SAMPLES + period)
    return np.where(time % period < period / 2, 1.0, -1.0)


_WAVES = tuple(_square_wave(period) for period in PERIODS)


def sprites(game: Game) -> list[tuple[str, int, int, int, int]]:
    """Everything on the screen: (kind, left, top, width, height) in pixels."""
    half_enemy, half_bullet = rules.ENEMY_SIZE // 2, rules.BULLET_SIZE // 2
    enemy = (rules.ENEMY_Y - half_enemy, rules.ENEMY_SIZE, rules.ENEMY_SIZE)
    ship = (rules.SHIP_TOP, rules.SHIP_WIDTH, rules.SHIP_HEIGHT)
    found = [("ship", game.ship_left, *ship)]
    for number, x in game.enemies.items():
        kind = "enemy_do" if number < 2 else "enemy_mi"
        found.append((kind, x - half_enemy, *enemy))
    bullets = [("enemy_bullet", place) for place in game.enemy_bullets.values()]
    if game.bullet is not None:
        bullets.append(("bullet", game.bullet))
    for kind, (x, y) in bullets:
        size = (rules.BULLET_SIZE, rules.BULLET_SIZE)
        found.append((kind, x - half_bullet, y - half_bullet, *size))
    return found


def draw(game: Game) -> NDArray[np.uint8]:
    """One frame of the image sensor: (80, 80) uint8, 255 where there is something."""
    image = np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.uint8)
    for _, left, top, width, height in sprites(game):
        rows = _every_second(top - FIRST_ROW, height)
        image[rows, _every_second(left, width)] = 255
    return image


def _every_second(start: int, length: int) -> slice:
    """The indices of the even numbers in [start, start + length), halved."""
    return slice(max((start + 1) // 2, 0), max((start + length + 1) // 2, 0))


def amplitudes(game: Game) -> NDArray[np.float64]:
    """How loud each note is at each receiver: (4 notes, 4 receivers), 0 if silent.

    A source at a distance of d pixels adds exp(-0.025 d). The receivers are the left
    and right bottom corners of the screen and the left and right ends of the ship.
    """
    notes = [0 if number < 2 else 1 for number in game.enemies]
    places = [(x, rules.ENEMY_Y) for x in game.enemies.values()]
    notes += [2] * len(game.enemy_bullets)
    places += game.enemy_bullets.values()
    if game.bullet is not None:
        notes.append(3)
        places.append(game.bullet)
    if not places:
        return np.zeros((len(NOTES), 4))
    x, y = np.array(places, np.float64).T[..., None]
    ship_end = game.ship_left + rules.SHIP_WIDTH
    receiver_x = np.array([0, rules.SCREEN_WIDTH, game.ship_left, ship_end])
    receiver_y = np.array([rules.SCREEN_HEIGHT] * 2 + [rules.SHIP_Y] * 2)
    loudness = np.exp(-DECAY * np.hypot(x - receiver_x, y - receiver_y))
    heard: NDArray[np.float64] = _ONE_HOT[notes].T @ loudness
    return heard


_ONE_HOT = np.eye(len(NOTES))


def bands(amplitude: NDArray[np.float64]) -> NDArray[np.float32]:
    """One frame of the compact sound sensor: (16,) float32, notes x receivers.

    Logarithmic levels of ``amplitudes``: 0 is silence (or a source 280 px away, more
    than fits on the screen), 1 all sources of the note at the receiver.
    """
    level = np.log(np.maximum(amplitude, FLOOR) / FLOOR) / _LOG_RANGE
    return level.astype(np.float32).ravel()


def waveform(amplitude: NDArray[np.float64], frame: int) -> NDArray[np.float32]:
    """One frame of the published sound sensor: (4188,) float32, receivers x samples.

    Each note is a square wave of its ``amplitudes``, in step with one clock that has
    counted ``frame`` frames of 1047 samples; their sum is scaled down to [-1, 1] where
    it is louder, and mapped to [0, 1].
    """
    signal = mix(amplitude, frame)
    return ((signal + 1.0) / 2.0).astype(np.float32).ravel()


def mix(amplitude: NDArray[np.float64], frame: int) -> NDArray[np.float64]:
    """The signals at the receivers: (4, 1047) in [-1, 1]."""
    start = frame * FRAME_SAMPLES
    notes = np.stack(
        [
            wave[start % period : start % period + FRAME_SAMPLES]
            for wave, period in zip(_WAVES, PERIODS, strict=True)
        ]
    )
    signal = amplitude.T @ notes
    peak = np.maximum(np.abs(signal).max(axis=1, keepdims=True), 1.0)
    limited: NDArray[np.float64] = np.clip(signal / peak, -1.0, 1.0)
    return limited


def picture(game: Game) -> NDArray[np.uint8]:
    """The screen in colour, three times as large: (630, 480, 3) uint8."""
    screen = np.zeros((rules.SCREEN_HEIGHT, rules.SCREEN_WIDTH, 3), np.uint8)
    for kind, left, top, width, height in sprites(game):
        rows = slice(max(top, 0), max(top + height, 0))
        screen[rows, max(left, 0) : max(left + width, 0)] = COLOURS[kind]
    return screen.repeat(PICTURE_SCALE, axis=0).repeat(PICTURE_SCALE, axis=1)
