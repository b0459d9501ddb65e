"""Gymnasium observation spaces and the modalities of a model: one from the other."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from nexus_rl.bounds import honest_bounds
from nexus_rl.entries import kept_entries
from nexus_rl.errors import UserError, choose
from nexus_rl.formats import sensor_formats
from nexus_rl.mask import sensors_of
from nexus_rl.modality import (
    AXES,
    Modality,
    channels_last,
    check_name,
    how_to_rename,
)
from nexus_rl.models.core import MultimodalVAE

Space = spaces.Space[Any]
Bound = float | tuple[float, ...]  # one an entry, where entries differ
Row = tuple[str, str, str, str]  # sensor, model, environment, problem


class _Values(NamedTuple):
    """What one sensor gives: arrays of ``shape`` in [low, high], or classes."""

    shape: tuple[int, ...]
    low: Bound = 0.0
    high: Bound = 1.0
    compact: bool = False  # uint8: 0 to 255 stand for 0 to 1
    classes: bool = False


def modalities_from_space(
    space: Space,
    /,
    *,
    ignore: Collection[str] | Mapping[str, Any] = (),
    **overrides: Mapping[str, Any],
) -> tuple[Modality, ...]:
    """The modalities of a Dict observation space, in the order of its keys.

    - ``Box`` of uint8, bounds 0 to 255, shape (C, H, W): an image.
    - ``Box`` of floats with finite bounds, shape (D,): a vector, every entry in
      its own bounds. A uint8 one, 0 to 255, is a vector too.
    - ``Discrete(K)``: a label.

    The key "available" is skipped: it says which sensors are there. ``ignore`` names
    further entries to skip, of whatever space. ``overrides`` changes fields of
    ``Modality`` by sensor, and must name the ``kind`` of floats with three axes
    ("image" or "spectrogram"); ``**{"front-camera": {...}}`` gives those of a sensor
    whose name is no Python identifier. A dict as ``ignore`` is of a sensor that is
    called so.

    Raises ``UserError`` for anything else, with what to do about it, and for changes
    after which the modality would not fit its own sensor.

    Example:
    >>> from gymnasium import spaces
    >>> image = spaces.Box(0, 255, (2, 60, 60), "uint8")
    >>> gyro = spaces.Box(-8, 8, (3,))
    >>> space = spaces.Dict({"gyro": gyro, "image": image})
    >>> for m in modalities_from_space(space, gyro={"latent_dim": 4}):
    ...     print(m.name, m.kind, m.shape, m.low, m.high, m.latent_dim)
    gyro vector (3,) -8.0 8.0 4
    image image (2, 60, 60) 0.0 1.0 64
    """
    return describe(space, overrides, ignore, {})


def modalities_from_env(
    env: gym.Env[Any, Any],
    /,
    *,
    ignore: Collection[str] | Mapping[str, Any] = (),
    **overrides: Mapping[str, Any],
) -> tuple[Modality, ...]:
    """``modalities_from_space`` of an environment, with the formats it declares.

    Example:
    >>> import gymnasium as gym
    >>> env = gym.make("envs:nexus_rl/MultimodalPendulum-v0")
    >>> [m.format for m in modalities_from_env(env)]
    ['2 frames, anti-aliased', '2 frames, logarithmic pitch and loudness']
    """
    formats = sensor_formats(env)
    return describe(env.observation_space, overrides, ignore, formats)


def describe(
    space: Space,
    overrides: Mapping[str, Mapping[str, Any]],
    ignore: Collection[str] | Mapping[str, Any],
    formats: Mapping[str, str],
) -> tuple[Modality, ...]:
    """``modalities_from_space`` of overrides in a dict, and with formats by sensor."""
    if isinstance(ignore, Mapping):
        overrides, ignore = {**overrides, "ignore": ignore}, ()
    kept = kept_entries(space, ignore) if ignore else sensors_of(space)
    if not kept:
        raise UserError(f"observations hold no sensor: {space}")
    for name in kept:
        check_name(name)
    for name, fields in overrides.items():
        _check_changes(name, fields, kept)
    return tuple(
        _modality(
            name, entry, {"format": formats.get(name, ""), **overrides.get(name, {})}
        )
        for name, entry in kept.items()
    )


def _check_changes(name: str, fields: Any, kept: Mapping[str, Space]) -> None:
    choose(name, kept, "sensor")
    if not isinstance(fields, Mapping):
        raise UserError(
            f"sensor {name!r}: expected fields of Modality in a dict, such as "
            f"{{'kind': 'frames'}}, got {fields!r}"
        )
    for field in fields:
        choose(field, Modality.__dataclass_fields__, "modality field")
    if "name" in fields:
        raise UserError(
            f"sensor {name!r}: its modality must have the same name; to change both, "
            f"{how_to_rename(name)}"
        )


def check_fit(
    model: MultimodalVAE,
    space: Space,
    formats: Mapping[str, str] | None = None,
    *,
    absent: Collection[str] = (),
    append: Collection[str] = (),
    ignore: Collection[str] = (),
) -> None:
    """Raises ``UserError`` unless ``model`` can encode observations of ``space``.

    Names, shapes and ranges must agree, in any order; a smaller range, too, is another
    normalisation. uint8 counts as floats from 0 to 1, which is how a model reads it.
    ``formats``, which ``sensor_formats`` reads off the environment, must agree with
    those the model was trained on wherever both are declared. ``absent`` names
    modalities that the environment never shows, ``append`` sensors that the model need
    not know, ``ignore`` entries that nobody needs. The message shows both sides of
    every sensor.

    Example:
    >>> import gymnasium as gym
    >>> from nexus_rl import make_model
    >>> env = gym.make("envs:nexus_rl/MultimodalPendulum-v0")
    >>> model = make_model("nexus", modalities_from_env(env))
    >>> check_fit(model, env.observation_space, sensor_formats(env))
    """
    entries, formats = sensors_of(space), formats or {}
    modalities = {modality.name: modality for modality in model.modalities}
    _check_absent(absent, modalities, entries)
    for name in (*append, *ignore):
        choose(name, entries, "sensor")
    if needed := [n for n in ignore if n in modalities or n in append]:
        raise UserError(
            f"{', '.join(map(repr, needed))}: ignore is for entries that neither the "
            "model nor the agent needs; leave it out of `ignore`"
        )
    lacking = [n for n in modalities if n not in entries and n not in absent]
    left = {*modalities, *append, *ignore}
    unknown = [name for name in entries if name not in left]
    problems = {
        **dict.fromkeys(lacking, "not there"),
        **dict.fromkeys(unknown, "unknown to the model"),
    }
    rows: list[Row] = []
    for name in dict.fromkeys([*modalities, *entries]):
        modality = modalities.get(name)
        problem = problems.get(name, "")
        rows.append(_compare(name, modality, entries.get(name), problem))
        ours, theirs = modality.format if modality else "", formats.get(name, "")
        if ours or theirs:
            differ = ours and theirs and ours != theirs
            problem = "the formats differ" if differ else ""
            rows.append(("", ours or "-", theirs or "-", problem))
    if any(problem for *_, problem in rows):
        raise UserError(
            "the model does not fit the environment:\n"
            + _table([("sensor", "model", "environment", ""), *rows])
            + "\nUse a model that was trained on this environment's sensors, or wrap "
            "the environment to give what the model expects."
            + _hint(lacking, "If the environment never shows it, name it", "absent")
            + _hint(unknown, "If nobody needs it, name it", "ignore")
            + _hint(
                [n for n in unknown if isinstance(entries[n], spaces.Box)],
                "To give it to the agent as it is, name it",
                "append",
            )
        )


def _check_absent(
    absent: Collection[str], modalities: Mapping[str, Any], entries: Mapping[str, Space]
) -> None:
    for name in absent:
        choose(name, modalities, "modality")
        if name in entries:
            raise UserError(
                f"the environment shows {name!r}, so it is not absent: leave it out of "
                "`absent`"
            )
    if not {*modalities} - {*absent}:
        raise UserError("every modality of the model is absent: nothing is left to see")


def _hint(names: Collection[str], advice: str, option: str) -> str:
    return f" {advice}: {option}=[{', '.join(map(repr, names))}]." if names else ""


def _modality(name: str, space: Space, changes: Mapping[str, Any]) -> Modality:
    what = f"sensor {name!r}, {_show(space)}"
    if not isinstance(space, spaces.Box | spaces.Discrete):
        raise UserError(
            f"{what}: it is neither Box nor Discrete; name it in ignore=[{name!r}] "
            "(--ignore on the command line), or flatten it to a Box"
        )
    try:
        values = _values(space)
        if not values.classes:
            _check_axes(name, values, str(changes.get("kind", "")))
    except ValueError as error:
        empty = 0 in (space.shape or ())
        hint = f", or leave it out: ignore=[{name!r}]" if empty else ""
        raise UserError(f"{what}: {error}{hint}") from None
    fields: dict[str, Any] = {
        "shape": values.shape,
        "low": values.low,
        "high": values.high,
        "likelihood": "categorical" if values.classes else "squared_error",
    }
    modality = Modality(name, **{**fields, **changes})
    if problem := _misfit(modality, space):
        raise UserError(
            f"{what}: {_describe(modality)} does not fit it, {problem}; change the "
            "space with a wrapper instead"
        )
    return modality


def _values(space: Space) -> _Values:
    """What a sensor of ``space`` gives. Raises ``ValueError`` saying what is wrong."""
    if isinstance(space, spaces.Discrete):
        if space.start != 0:
            raise ValueError("classes must count from 0; subtract `start`")
        return _Values((int(space.n),), classes=True)
    if not isinstance(space, spaces.Box):
        raise ValueError("a sensor must be a Box or Discrete; flatten it to a Box")
    if 0 in space.shape:
        raise ValueError("it has no entries; take it out of the observations")
    if space.dtype == np.uint8:
        if (space.low.min(), space.high.max()) != (0, 255):
            raise ValueError("uint8 must have bounds 0 and 255; scale it to them")
        return _Values(space.shape, compact=True)
    if not np.issubdtype(space.dtype, np.floating):
        raise ValueError("its dtype must be uint8 or a float; convert it to float32")
    low, high = honest_bounds(space)
    if not np.isfinite([low, high]).all():
        raise ValueError(
            "its bounds are infinite, or as good as; clip or squash it into a finite "
            "Box, e.g. with gymnasium.wrappers.TransformObservation"
        )
    if len(space.shape) != 1 or (np.ptp(low) == 0 and np.ptp(high) == 0):
        return _Values(space.shape, float(low.min()), float(high.max()))
    high = np.where(low < high, high, low + 1)  # entries that never change
    return _Values(space.shape, tuple(low.tolist()), tuple(high.tolist()))


def _check_axes(name: str, values: _Values, kind: str) -> None:
    """Raises ``ValueError`` unless the axes can be of ``kind`` ("": not named).

    Kinds that the library does not know have networks, and axes, of the user's own.
    """
    shape = values.shape
    if kind and kind not in AXES:
        return
    if len(shape) == 2:
        raise ValueError(
            "two axes are a picture or a spectrogram without its channel, which needs "
            f"a first axis, image[None], {_naming(name)}, or else a table: flatten it "
            "to (D,) with reshape(-1)"
        )
    if len(shape) not in (1, 3):
        raise ValueError(
            "expected (D,) or (C, H, W); reshape it: a single number to (1,), a stack "
            "of K pictures to (K * C, H, W)"
        )
    if len(shape) == 1:
        return
    if shape[2] < shape[0] and (not kind or channels_last(shape)):
        raise ValueError(
            "an image needs channels first, (C, H, W); "
            "transpose it with numpy.moveaxis(image, -1, 0)"
        )
    if not kind and not values.compact:
        raise ValueError(
            f"floats with three axes may be an image or a spectrogram; {_naming(name)}"
        )


def _naming(name: str) -> str:
    kind = "{'kind': 'spectrogram'}"
    given = f"{name}={kind}" if name.isidentifier() else f"**{{{name!r}: {kind}}}"
    return f"name the kind, e.g. modalities_from_space(space, {given})"


def _compare(
    name: str, modality: Modality | None, space: Space | None, problem: str
) -> Row:
    """One row of the table: the sensor, both sides, and what is wrong if anything."""
    if modality is not None and space is not None:
        problem = _misfit(modality, space)
    ours = "-" if modality is None else _describe(modality)
    return str(name), ours, "-" if space is None else _show(space), problem


def _misfit(modality: Modality, space: Space) -> str:
    try:
        values = _values(space)
    except ValueError as error:
        return str(error)
    if values.classes and not modality.categorical:
        return "classes where the model expects values"
    if values.shape != modality.shape:
        return "the shapes differ"
    if values.compact and modality.categorical:
        return "one-hot rows must be floats"
    low, high = values.low, values.high
    if not isinstance(modality.low, tuple):
        # A model may have one range for all entries, as older ones have.
        low, high = float(np.min(low)), float(np.max(high))
    span = np.subtract(modality.high, modality.low)
    pairs = ((low, modality.low), (high, modality.high))
    off = [np.abs(np.subtract(theirs, ours)) for theirs, ours in pairs]
    same = all((each <= 1e-6 * span).all() for each in off)  # float32 rounds bounds
    return "" if values.classes or same else "the ranges differ"


def _describe(modality: Modality) -> str:
    if modality.categorical:
        return f"{modality.kind} {modality.shape}"
    low, high = modality.range
    own = ", each entry its own" if isinstance(modality.low, tuple) else ""
    return f"{modality.kind} {modality.shape} in [{low:g}, {high:g}]{own}"


def _show(space: Space) -> str:
    if not isinstance(space, spaces.Box) or 0 in space.shape:
        return str(space)
    return f"{space.dtype} {space.shape} in [{space.low.min():g}, {space.high.max():g}]"


def _table(rows: list[Row]) -> str:
    widths = [max(len(row[k]) for row in rows) for k in range(3)]
    lines = []
    for *cells, problem in rows:
        padded = (cell.ljust(n) for cell, n in zip(cells, widths, strict=True))
        lines.append("  ".join(["", *padded, f"<- {problem}" if problem else ""]))
    return "\n".join(line.rstrip() for line in lines)
