"""What one sensor looks like to the model: its shape, range, likelihood and weights."""

from __future__ import annotations

import math
import re
import sys
import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from numbers import Integral, Real
from typing import Any, Literal, NoReturn, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from nexus_rl.errors import UserError

Likelihood = Literal["squared_error", "optimal_sigma", "bernoulli", "categorical"]

# Bottom latent sizes of the paper (section 6.2, 6.4), used where none is given.
LATENT_DIMS = {"image": 64, "frames": 16, "vector": 16, "spectrogram": 128, "label": 5}

# The kinds of three axes.
AXES = {
    "image": "(C, H, W)",
    "frames": "(K, H, W)",
    "spectrogram": "(1, frames, bands)",
}

NAME = re.compile(r"\w([\w .-]*\w)?")


@dataclass(frozen=True)
class Modality:
    """One sensor: ``shape`` without the batch axis, likelihood, sizes and weights.

    ``name`` may hold letters, digits and ``_``, and between them ``-``, ``.`` and
    spaces.

    Data live in ``[low, high]``: two numbers, or as many as a vector has entries.
    Tensors of ``uint8`` are compact storage of that range (0 is ``low``, 255 is
    ``high``); any other dtype holds the values themselves. A categorical modality has
    shape ``(K,)`` and is given as integer classes ``(B,)`` or one-hot rows ``(B, K)``.

    ``kind`` chooses the networks: "image" ``(C, H, W)``, "frames" ``(K, H, W)`` (a
    stack of grey pictures), "vector" ``(D,)``, "spectrogram" ``(1, frames, bands)`` or
    "label" ``(K,)``. Left empty it is read off the shape and likelihood; frames and
    spectrograms must be named, because their shapes are also those of images.
    ``width`` is that of a vector's, a label's or frames' layers (0: 512, 128, 128).
    ``format`` says how readings are made (stack, normalisation, units) where an
    environment declares it; it is compared when the model meets another one.

    ``top_likelihood`` is of the code that comes down from z_sigma; "categorical", for
    labels, instead reads it through the bottom's decoder, and is not in the paper.

    ``weight``, ``beta`` and ``top_weight`` are lambda^m, beta^m and gamma^m of the
    paper's Eq. 21 and Tables B.8 and B.9. Raises ``UserError`` on values of the wrong
    type, and on those that do not fit together; warns of a shape that looks like
    (H, W, C).
    """

    name: str
    shape: tuple[int, ...]
    likelihood: Likelihood = "squared_error"
    kind: str = ""
    latent_dim: int = 0
    width: int = 0
    weight: float = 1.0
    beta: float = 1.0
    top_weight: float = 1.0
    top_likelihood: Likelihood = "squared_error"
    low: float | tuple[float, ...] = 0.0
    high: float | tuple[float, ...] = 1.0
    format: str = ""

    def __post_init__(self) -> None:
        self._check_types()
        object.__setattr__(self, "kind", self.kind or self._kind_of_shape())
        object.__setattr__(
            self, "latent_dim", self.latent_dim or LATENT_DIMS.get(self.kind, 0)
        )
        self._validate()

    def _refuse(self, problem: str) -> NoReturn:
        raise UserError(f"modality {self.name!r}: {problem}")

    def _check_types(self) -> None:
        """Makes every field plain Python. Raises ``UserError`` for other types."""
        check_name(self.name)
        for field in ("kind", "likelihood", "top_likelihood", "format"):
            value: Any = getattr(self, field)
            if not isinstance(value, str):
                self._refuse(f"{field} must be a text, got {value!r}")
        for field in ("latent_dim", "width"):
            value = getattr(self, field)
            if isinstance(value, bool) or not isinstance(value, Integral):
                self._refuse(f"{field} must be a whole number, got {value!r}")
            object.__setattr__(self, field, int(value))
        for field in ("weight", "beta", "top_weight"):
            object.__setattr__(self, field, self._number(field, getattr(self, field)))
        object.__setattr__(self, "shape", self._sizes())
        self._check_bounds()

    def _number(self, field: str, value: Any) -> float:
        plain = math.nan
        if isinstance(value, Real) and value is not True and value is not False:
            plain = int(value) if isinstance(value, Integral) else float(value)
        if not abs(plain) <= sys.float_info.max:
            self._refuse(f"{field} must be a finite number, got {value!r}")
        return plain

    def _check_bounds(self) -> None:
        """Makes both bounds numbers, or tuples of one an entry."""
        bounds: dict[str, list[float]] = {}
        for field in ("low", "high"):
            given: Any = getattr(self, field)
            several = isinstance(given, list | tuple) or np.ndim(given) > 0
            numbers = [self._number(field, each) for each in given] if several else []
            if several and self.shape != (len(numbers),):
                self._refuse(
                    f"{field} must be a number, or one for each entry of a vector, got "
                    f"{len(numbers)} for shape {self.shape}"
                )
            bounds[field] = numbers or [self._number(field, given)]
        same = all(len({*numbers}) == 1 for numbers in bounds.values())
        for field, numbers in bounds.items():
            if not same and len(numbers) == 1:
                numbers = numbers * self.shape[0]
            object.__setattr__(self, field, numbers[0] if same else tuple(numbers))

    def _sizes(self) -> tuple[int, ...]:
        shape: Any = self.shape
        try:
            sizes = np.asarray(shape)
        except (TypeError, ValueError, RuntimeError):  # such as lists in it
            sizes = np.asarray(None)
        if sizes.ndim == 1 and (sizes.dtype.kind in "iu" or sizes.size == 0):
            return tuple(sizes.astype(int).tolist())
        hint = f"; of one axis it is ({shape},)" if isinstance(shape, Integral) else ""
        return self._refuse(
            "shape must be whole numbers, one an axis, such as (3, 64, 64), got "
            f"{shape!r}{hint}"
        )

    def _kind_of_shape(self) -> str:
        if self.likelihood == "categorical":
            return "label"
        kinds = {1: "vector", 3: "image"}
        if len(self.shape) not in kinds:
            raise UserError(
                f"modality {self.name!r} has shape {self.shape}: expected (D,) for a "
                "vector or (C, H, W) for an image; reshape it or name its `kind`"
            )
        return kinds[len(self.shape)]

    def _validate(self) -> None:
        refuse = self._refuse
        if not self.shape or min(self.shape) < 1:
            refuse(f"every axis of shape {self.shape} must be at least 1")
        if self.width < 0:
            refuse(f"width must not be negative, got {self.width}")
        if self.latent_dim < 1:
            known = ", ".join(LATENT_DIMS)
            own = self.kind not in LATENT_DIMS
            hint = f"; kind {self.kind!r} is none of {known}" if own else ""
            refuse(f"latent_dim must be at least 1, got {self.latent_dim}{hint}")
        likelihoods = Likelihood.__args__  # type: ignore[attr-defined]
        if self.likelihood not in likelihoods:
            refuse(f"likelihood {self.likelihood!r} is none of {likelihoods}")
        of_codes = ["squared_error", "optimal_sigma"] + [
            "categorical"
        ] * self.categorical
        if self.top_likelihood not in of_codes:
            refuse(f"top_likelihood must be {' or '.join(of_codes)}")
        if (self.likelihood == "categorical") != (self.kind == "label"):
            refuse("kind 'label' and likelihood 'categorical' belong together")
        if self.kind in ("label", "vector") and len(self.shape) != 1:
            refuse(f"a {self.kind} has shape (size,), got {self.shape}; flatten it")
        if self.kind in AXES and len(self.shape) != 3:
            axes = AXES[self.kind]
            refuse(f"a {self.kind} has three axes, got shape {self.shape}, not {axes}")
        if self.kind in AXES and channels_last(self.shape):
            warnings.warn(
                f"modality {self.name!r}: shape {self.shape} is read as "
                f"{AXES[self.kind]}; if its last axis are channels, move them to the "
                "front with numpy.moveaxis",
                stacklevel=4,  # whoever makes the modality
            )
        if not np.less(self.low, self.high).all():
            refuse(f"low ({self.low}) must be below high ({self.high})")
        if min(self.weight, self.beta, self.top_weight) < 0:
            refuse("weight, beta and top_weight must not be negative")

    @property
    def categorical(self) -> bool:
        """Whether the data are classes."""
        return self.likelihood == "categorical"

    @property
    def size(self) -> int:
        """Number of values of one sample."""
        return int(torch.Size(self.shape).numel())

    def replace(self, **changes: Any) -> Modality:
        """A copy with some fields changed."""
        return replace(self, **changes)

    def normalise(self, data: Tensor) -> Tensor:
        """Data to what networks see: float32 in [0, 1], one-hot rows for classes."""
        if self.categorical and data.dim() == 1:
            return F.one_hot(data.long(), self.shape[0]).float()
        if self.categorical:
            return data.float()
        if data.dtype == torch.uint8:
            return data.float().div_(255)
        if (self.low, self.high) == (0.0, 1.0):
            return data.float()
        # In the data's own precision: float32 cannot tell metres of a northing apart.
        exact = data if data.dtype == torch.float64 else data.float()
        low, span = self._low_and_span(exact)
        scaled: Tensor = (exact - low) / span
        return scaled.float()

    def denormalise(self, values: Tensor) -> Tensor:
        """The inverse of ``normalise``: from [0, 1] to ``[low, high]``."""
        if self.categorical or (self.low, self.high) == (0.0, 1.0):
            return values
        low, span = self._low_and_span(values)
        data: Tensor = low + span * values
        return data

    @property
    def range(self) -> tuple[float, float]:
        """The least and the greatest value that any entry can have."""
        return float(np.min(self.low)), float(np.max(self.high))

    def _low_and_span(self, like: Tensor) -> tuple[Any, Any]:
        """The low bound and the range, or tensors of one an entry, as ``like`` is."""
        if not isinstance(self.low, tuple) or not isinstance(self.high, tuple):
            return self.low, self.high - self.low  # type: ignore[operator]
        low = torch.tensor(self.low, dtype=like.dtype, device=like.device)
        return low, like.new_tensor(self.high) - low

    def check_shape(self, data: Tensor) -> None:
        """Raises ``UserError`` unless ``data`` is a batch of this modality."""
        if not isinstance(data, Tensor):
            raise UserError(
                f"modality {self.name!r}: expected a tensor, got "
                f"{type(data).__name__}; convert it, e.g. with torch.as_tensor"
            )
        found = tuple(data.shape[1:])
        classes = self.categorical and data.dim() == 1
        if data.dim() < 1 or (found != self.shape and not classes):
            expected = ("B", *self.shape)
            also = " or classes (B,)" if self.categorical else ""
            raise UserError(
                f"modality {self.name!r}: expected a tensor ({_join(expected)}){also}, "
                f"got ({_join(data.shape)})"
            )
        if classes and (data.is_floating_point() or data.dtype == torch.bool):
            raise UserError(
                f"modality {self.name!r}: classes must be integers, got {data.dtype}"
            )

    def check_range(self, data: Tensor) -> None:
        """Raises ``UserError`` unless ``data`` is a finite batch within its range."""
        self.check_shape(data)
        if data.numel() == 0 or (data.dtype == torch.uint8 and not self.categorical):
            return
        classes = self.categorical and data.dim() == 1
        bounds = (0, self.shape[0] - 1) if classes else (self.low, self.high)
        kind = data.dtype if data.is_floating_point() else torch.float64
        # As exact as the data: float32 rounds 0.3 up.
        low, high = (torch.tensor(b, dtype=kind, device=data.device) for b in bounds)
        least, most = data.amin(0), data.amax(0)
        if not ((low <= least) & (most <= high)).all():  # also true for NaN
            raise UserError(
                f"modality {self.name!r}: values from {least.min():g} to "
                f"{most.max():g} lie outside [{low.min():g}, {high.max():g}]; scale "
                "the data, or set the modality's low and high"
            )


def changed(
    modalities: Sequence[Modality], changes: Mapping[str, Mapping[str, Any]]
) -> tuple[Modality, ...]:
    """``modalities`` with the fields that ``changes`` has by name; others as they are.

    Raises ``UserError`` on values that do not fit together.
    """
    return tuple(m.replace(**changes.get(m.name, {})) for m in modalities)


def channels_last(shape: Sequence[int]) -> bool:
    """Whether three axes look like (H, W, C): a short one after two long ones."""
    return shape[0] > 4 and shape[2] < min(shape[0], shape[1])


def check_name(name: Any) -> None:
    """Raises ``UserError`` unless a modality, and so a sensor, can have this name."""
    text = isinstance(name, str)
    if not text or not (NAME.fullmatch(name) or name.isidentifier()):
        rule = "be of letters, digits and _, with - . and spaces only between them"
        raise UserError(
            f"modality {name!r}: its name must {rule if text else 'be a text'}; "
            f"{how_to_rename(name)}"
        )


def how_to_rename(name: Any) -> str:
    """Code that gives the key ``name`` of Dict observations another name."""
    plain = "_".join(re.findall(r"\w+", str(name)))
    renamed = isinstance(name, str) and plain not in ("", name)
    new = plain if renamed else f"sensor_{plain}".rstrip("_")
    return f"""rename it, in an environment with
    from gymnasium import spaces, wrappers
    names = {{{name!r}: {new!r}}}
    named = lambda items: [(names.get(k, k), v) for k, v in items.items()]
    space = spaces.Dict(named(env.observation_space))
    env = wrappers.TransformObservation(env, lambda o: dict(named(o)), space)"""


T = TypeVar("T")


def subsets(names: Sequence[T]) -> list[tuple[T, ...]]:
    """Every non-empty subset of ``names``, small ones first."""
    sizes = range(1, len(names) + 1)
    return [subset for size in sizes for subset in combinations(names, size)]


def check_names(names: object) -> None:
    """Raises ``UserError`` unless ``names`` is a collection of names, not one alone."""
    if isinstance(names, str) or not isinstance(names, Collection):
        raise UserError(f"expected a list of modality names, e.g. [{names!r}]")
    for name in names:
        if not isinstance(name, str):
            raise UserError(f"expected names of modalities, got {name!r}")


def _join(sizes: Any) -> str:
    return ", ".join(str(size) for size in sizes)


# The paper's modalities with the weights of Tables B.8 and B.9, which agree where both
# name one. The sound's beta is that of its sigma-VAE's own training; in the
# four-modality models that bottom is frozen and beta has no effect.
PAPER = {
    modality.name: modality
    for modality in (
        Modality("image", (1, 28, 28)),
        Modality("trajectory", (200,), weight=50, top_weight=50),
        Modality(
            "sound",
            (1, 32, 128),
            "optimal_sigma",
            kind="spectrogram",
            top_likelihood="optimal_sigma",
            beta=10,
        ),
        Modality("label", (10,), "categorical", weight=50, top_weight=50),
    )
}
