"""The ways sensors can fail, by name."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gymnasium import spaces

from nexus_rl.environments import make_env, time_limit
from nexus_rl.errors import UserError, choose
from nexus_rl.mask import sensors_of
from nexus_rl.wrappers import (
    Bernoulli,
    Corruption,
    Fault,
    Fixed,
    Frozen,
    Gaussian,
    Lie,
    Markov,
    Occlusion,
    PerEpisode,
    Schedule,
    Window,
)
from nexus_rl.wrappers.checks import as_names, check_count
from nexus_rl.wrappers.faults import Array
from nexus_rl.wrappers.masking import default_sensors
from nexus_rl.wrappers.schedules import Generator

EVERYTHING = "everything"  # the condition in which nothing is missing
DROP_RATES = (10, 30, 50, 70, 90)  # of the conditions "bernoulli", in percent
BURST_RATE = 0.3
BURSTS = {"short": 5, "long": 25}  # mean steps
WINDOWS = ((20, 25), (100, 50))  # start and length, in steps; a selection
BLACKOUTS = (5, 10)  # steps without any sensor
BLACKOUT_START = 20
MANY = 5  # sensors; of more, not every subset is a condition


@dataclass(frozen=True)
class Condition:
    """How sensors fail in an episode; what is missing is announced, and ``name`` tells.

    ``schedule`` says what is missing (None: nothing) of ``sensors`` (None: of all that
    ``may_fail``), ``min_available`` how many of them are left in any case,
    ``corruptions`` which sensors show something wrong that nobody tells of. ``group``
    joins conditions of a kind.
    """

    name: str
    schedule: Schedule | Sequence[Schedule] | None = None
    min_available: int = 1
    corruptions: Mapping[str, Corruption] = field(default_factory=dict)
    group: str = ""
    sensors: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Stuck(Corruption):
    """Repeats every reading for ``steps`` steps: a freeze that comes loose again.

    Raises ``UserError`` for less than one step.
    """

    steps: int

    def __post_init__(self) -> None:
        check_count("steps", self.steps, 1)

    @property
    def memory(self) -> int:  # type: ignore[override]
        """The readings since the one that is repeated."""
        return self.steps

    def apply(self, fault: Fault, box: spaces.Box, rng: Generator) -> Array:
        return fault.past[-1 - fault.step % self.steps]


# Severities 1, 2 and 3.
CORRUPTIONS: dict[str, tuple[Corruption, Corruption, Corruption]] = {
    "gaussian": (Gaussian(0.02), Gaussian(0.1), Gaussian(0.3)),
    "occlusion": (Occlusion(0.1), Occlusion(0.25), Occlusion(0.5)),
    "freeze": (Stuck(5), Stuck(25), Frozen()),
    "lie": (Lie(3), Lie(11), Lie(257)),
}


def may_fail(
    space: spaces.Space[Any], reliable: Collection[str] = ()
) -> tuple[str, ...]:
    """The sensors of a Dict space that can be missing, in the order of its keys.

    Those are its Boxes but for goals (``default_sensors``) and the ``reliable`` ones:
    nothing can stand in for a class or a button. Raises ``UserError`` if ``reliable``
    names no sensor.
    """
    entries = sensors_of(space)
    for name in reliable:
        choose(name, entries, "sensor")
    return tuple(
        name
        for name in default_sensors(space)
        if name not in reliable and isinstance(entries[name], spaces.Box)
    )


def condition_sensors(
    condition: Condition, space: spaces.Space[Any], reliable: Collection[str] = ()
) -> tuple[str, ...]:
    """The sensors that ``condition`` may take away, in the order of the keys.

    Raises ``UserError`` for others that it names: those that are no Box or reliable.
    """
    named = as_names(condition.sensors or ())
    entries = sensors_of(space)
    for name in (*named, *condition.corruptions):
        if not isinstance(choose(name, entries, "sensor"), spaces.Box):
            raise UserError(
                f"condition {condition.name!r}: {name!r} cannot fail, it is a "
                f"{type(entries[name]).__name__} and no Box; leave it out"
            )
        if name in reliable:
            raise UserError(
                f"condition {condition.name!r}: {name!r} cannot fail, the task calls "
                "it reliable; leave it out"
            )
    if condition.sensors is None:
        return may_fail(space, reliable)
    return tuple(name for name in entries if name in named)


def conditions_of(
    env_id: str,
    env_kwargs: Mapping[str, Any] | None = None,
    reliable: Collection[str] = (),
    ignore: Collection[str] = (),
) -> dict[str, Condition]:
    """All conditions for the sensors of an environment, by name.

    They are about those that ``may_fail``: Boxes, but no goals, nor those that are
    ``reliable``, nor the entries to ``ignore``.

    Groups, in this order:

    - "everything";
    - "missing": each proper subset of the sensors for the whole episode; of more than
      five sensors, those that lack one or hold one;
    - "bernoulli": each sensor at a rate of 10 to 90 %, drawn each step;
    - "bursts": at a rate of 30 %, for 5 or for 25 steps on average;
    - "windows": one outage of one sensor, in two of the many places and lengths that
      there are: 25 steps from step 20, or 50 from step 100, where that comes before an
      episode must end;
    - "blackout": all sensors for 5 or for 10 steps from step 20;
    - "corruption": readings that are noisy, covered, frozen or from another time,
      unannounced, at severities 1 to 3.

    Rates and lengths are nominal. In an evaluation a stack of k frames is there again
    in its k-th fresh step, so its outages are k - 1 steps longer; and one sensor is
    always left but in blackouts, so of two at most one is missing at a time, and one
    alone never. The rows of an evaluation tell what was there.

    Raises ``UserError`` if the environment cannot be made, or shows no Dict.

    Example:
    >>> known = conditions_of("nexus_rl/MultimodalPendulum-v0")
    >>> known["no_image"].schedule
    Fixed(available=('sound',))
    >>> known["bernoulli_30"].schedule
    Bernoulli(missing=0.3)
    """
    env = make_env(env_id, env_kwargs, ignore)
    env.close()
    names = may_fail(env.observation_space, reliable)
    entries: Any = sensors_of(env.observation_space)
    steps = time_limit(env) or math.inf
    found = [Condition(EVERYTHING, group=EVERYTHING)]
    if len(names) > 1:
        found += [*_missing(names), *_random(), *_windows(names, steps)]
    if names:
        found += [*_blackouts(), *_corruptions({n: entries[n] for n in names})]
    return {condition.name: condition for condition in found}


def _missing(names: tuple[str, ...]) -> Iterator[Condition]:
    for size in range(1, len(names)):
        if len(names) > MANY and size not in (1, len(names) - 1):
            continue
        for lost in itertools.combinations(names, size):
            left = tuple(name for name in names if name not in lost)
            name = f"no_{lost[0]}" if size == 1 else f"only_{'_'.join(left)}"
            yield Condition(name, Fixed(left), group="missing")


def _random() -> Iterator[Condition]:
    for rate in DROP_RATES:
        schedule = Bernoulli(rate / 100)
        yield Condition(f"bernoulli_{rate}", schedule, group="bernoulli")
    for name, steps in BURSTS.items():
        recover = 1 / steps
        fail = recover * BURST_RATE / (1 - BURST_RATE)
        yield Condition(f"bursts_{name}", Markov(fail, recover), group="bursts")


def _windows(names: tuple[str, ...], steps: float) -> Iterator[Condition]:
    for name in names:
        for start, length in WINDOWS:
            if start >= steps:
                continue
            window = Window(start, length, (name,))
            yield Condition(f"window_{name}_{start}_{length}", window, group="windows")


def _blackouts() -> Iterator[Condition]:
    for length in BLACKOUTS:
        window = Window(BLACKOUT_START, length)
        yield Condition(f"blackout_{length}", window, 0, group="blackout")


def _corruptions(boxes: Mapping[str, spaces.Box]) -> Iterator[Condition]:
    for kind, severities in CORRUPTIONS.items():
        for name, box in boxes.items():
            image = box.dtype == np.uint8 and len(box.shape) in (2, 3)
            if kind == "occlusion" and not image:
                continue
            for severity, corruption in enumerate(severities, 1):
                yield Condition(
                    f"{kind}_{name}_{severity}",
                    corruptions={name: corruption},
                    group="corruption",
                )


def choose_conditions(
    names: Sequence[str], known: Mapping[str, Condition]
) -> tuple[Condition, ...]:
    """The conditions of ``known`` that are named, each once, in the order of ``known``.

    A name is that of a condition or of a group; "all" is every one. Raises
    ``UserError`` for other names, with the closest.
    """
    groups = dict.fromkeys(condition.group for condition in known.values())
    for name in names:
        if name not in known and name not in groups and name != "all":
            raise UserError(_unknown(name, known, groups))
    if not names:
        raise UserError("no conditions: name some, or all")
    wanted = {"all", *groups, *known} if "all" in names else set(names)
    return tuple(c for c in known.values() if {c.name, c.group} & wanted)


def _unknown(name: str, known: Collection[str], groups: Collection[str]) -> str:
    close = difflib.get_close_matches(name, ["all", *groups, *known], 1, cutoff=0.4)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return (
        f"unknown condition {name!r}.{hint} Groups: {', '.join(['all', *groups])}. "
        f"Conditions: {', '.join(known)}"
    )


# How a schedule for training is written: its class, and how many numbers it takes.
_WRITTEN: dict[str, tuple[Callable[..., Schedule], int]] = {
    "bernoulli": (Bernoulli, 1),
    "episode": (PerEpisode, 1),
    "markov": (Markov, 2),
}


def training_condition(text: str, sensors: Sequence[str]) -> Condition:
    """How the ``sensors`` fail in training, as written on a command line.

    "none"; "bernoulli:RATE", each sensor missing with that probability, drawn each
    step; "episode:RATE", drawn each episode; "markov:FAIL,RECOVER", bursts. Several
    are joined by "+". One sensor is always left. Raises ``UserError`` for other texts,
    and for failures of a sensor that is the only one.

    Example:
    >>> training_condition("episode:0.3+markov:0.05,0.2", ["image", "sound"]).schedule
    (PerEpisode(missing=0.3), Markov(fail=0.05, recover=0.2))
    """
    if text == "none":
        return Condition(text, group="training")
    schedules = tuple(map(_read_schedule, text.split("+")))
    if len(sensors) < 2:
        raise UserError(
            f"{text!r} would drop the only sensor, but one is always left; train with "
            "'none', or on an environment of several sensors"
        )
    return Condition(text, schedules, group="training")


def _read_schedule(text: str) -> Schedule:
    kind, _, values = text.partition(":")
    try:
        make, count = _WRITTEN[kind]
        numbers = [float(value) for value in values.split(",")]
        if len(numbers) != count:
            raise ValueError(f"{len(numbers)} numbers")
    except (KeyError, ValueError):
        raise UserError(
            f"cannot read sensor dropout {text!r}; expected none, bernoulli:0.3, "
            "episode:0.3, markov:0.05,0.2 or several joined by +"
        ) from None
    return make(*numbers)
