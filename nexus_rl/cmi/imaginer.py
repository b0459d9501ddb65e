"""What is asked of a model, and how it is asked."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from nexus_rl.cmi.returned import check_made, tensors
from nexus_rl.data.dataset import Dataset
from nexus_rl.errors import UserError, choose
from nexus_rl.modality import Modality

Batch = Mapping[str, Tensor]
log = logging.getLogger(__name__)


class Imaginer(Protocol):
    """Anything with ``modalities`` and ``generate``, such as a model of this library.

    ``generate(batch, targets=names)`` gets some modalities by name, (B, *shape) as the
    dataset stores them, and returns each target in data space, (B, *shape); of a label
    the scores or probabilities of its classes. It is also given those of these that it
    takes by name:

    * ``samples``, a number S: results are (S, B, *shape), independent samples. Without
      it ``generate`` is called S times.
    * ``sample``: False asks for posterior means. Without it none are measured.
    * ``generator``: the source of all noise. Without it a seed does not fix the
      numbers.

    With ``prior(rows, targets=names, generator=...)``, joint samples (rows, *shape) of
    the targets with nothing given, coherence is measured too; a ``prior`` that takes
    anything else is left alone, with a warning.
    """

    @property
    def modalities(self) -> Sequence[Modality]:
        """What it knows, of the dataset's modalities."""

    @property
    def generate(self) -> Callable[..., Mapping[str, Tensor]]:
        """Cross-modality inference."""


class Imagination:
    """A model that is asked in its own way. Raises ``UserError`` unless it fits.

    Puts a PyTorch module into eval mode.
    """

    def __init__(self, model: Imaginer, dataset: Dataset) -> None:
        able = getattr(model, "generative", True) and hasattr(model, "generate")
        if not (able and hasattr(model, "modalities")):
            raise UserError(
                f"a {type(model).__name__} cannot be evaluated: a model needs "
                "modalities and generate (see Imaginer)"
            )
        self.model = model
        self.name = str(getattr(model, "name", type(model).__name__))
        self.modalities = {modality.name: modality for modality in model.modalities}
        self.device = torch.device(getattr(model, "device", "cpu"))
        _check_fit(self.modalities.values(), dataset)
        parameters = inspect.signature(model.generate).parameters
        anything = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self._takes = {
            name: anything or name in parameters
            for name in ("sample", "samples", "generator")
        }
        self._prior = _prior_of(model)
        if isinstance(model, nn.Module):
            model.eval()

    def samples(
        self, batch: Batch, targets: Sequence[str], count: int, noise: torch.Generator
    ) -> dict[str, Tensor]:
        """``count`` samples of each target: (count, B, *shape)."""
        options = {"sample": True, "generator": noise}
        rows = {"rows": _rows(batch)}
        if self._takes["samples"]:
            found = self._generate(batch, targets, samples=count, **options)
            return self._checked(found, targets, {"samples": count} | rows)
        each = [
            self._checked(self._generate(batch, targets, **options), targets, rows)
            for _ in range(count)
        ]
        return {name: torch.stack([one[name] for one in each]) for name in targets}

    def joint(
        self, rows: int, targets: Sequence[str], noise: torch.Generator
    ) -> dict[str, Tensor] | None:
        """Joint samples (rows, *shape) of the prior; None where the model has none."""
        if self._prior is None:
            return None
        made = self._prior(rows, targets=[*targets], generator=noise)
        found = tensors(made, targets, "prior")
        return self._checked(found, targets, {"rows": rows}, "prior")

    def means(self, batch: Batch, targets: Sequence[str]) -> dict[str, Tensor]:
        """Posterior means of each target, (1, B, *shape); nothing if it has none."""
        if not self._takes["sample"]:
            return {}
        found = self._generate(batch, targets, sample=False)
        found = {name: data[None] for name, data in found.items()}
        return self._checked(found, targets, {"samples": 1, "rows": _rows(batch)})

    def _generate(
        self, batch: Batch, targets: Sequence[str], **options: Any
    ) -> dict[str, Tensor]:
        taken = {name: value for name, value in options.items() if self._takes[name]}
        made = self.model.generate(batch, targets=list(targets), **taken)
        return tensors(made, targets, "generate")

    def _checked(
        self,
        found: dict[str, Tensor],
        targets: Sequence[str],
        size: Mapping[str, int],
        who: str = "generate",
    ) -> dict[str, Tensor]:
        check_made(found, [self.modalities[name] for name in targets], size, who)
        return found


def _prior_of(model: Imaginer) -> Callable[..., Any] | None:
    """What draws joint samples, if there is such; another ``prior`` is none."""
    prior: Callable[..., Any] | None = getattr(model, "prior", None)
    if not callable(prior):  # as a distribution of that name is not
        return None
    try:
        inspect.signature(prior).bind(1, targets=[], generator=None)
    except (TypeError, ValueError):
        log.warning(
            "%s.prior does not take (rows, targets=..., generator=...): there is no "
            "coherence",
            type(model).__name__,
        )
        return None
    return prior


def _rows(batch: Batch) -> int:
    return len(next(iter(batch.values())))


def _check_fit(modalities: Any, dataset: Dataset) -> None:
    known = {modality.name: modality for modality in dataset.modalities}
    for mine in modalities:
        theirs = choose(mine.name, known, f"modality of dataset {dataset.name!r}:")
        for field in ("shape", "categorical", "low", "high"):
            a, b = getattr(mine, field), getattr(theirs, field)
            if a != b:
                raise UserError(
                    f"modality {mine.name!r}: {field} is {a} in the model but {b} in "
                    f"dataset {dataset.name!r}; evaluate on data like those it was "
                    "trained on"
                )
