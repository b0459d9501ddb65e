"""Cross-modality inference of any model, measured as in the paper (section 6)."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from operator import index
from typing import Literal, get_args

from nexus_rl import modality
from nexus_rl.cmi.imaginer import Imagination, Imaginer
from nexus_rl.cmi.judges import Judges
from nexus_rl.cmi.measure import Measure
from nexus_rl.cmi.report import Report
from nexus_rl.cmi.tally import Kind, is_label
from nexus_rl.data.dataset import Dataset, classes_of
from nexus_rl.errors import UserError, choose

KINDS: tuple[Kind, ...] = get_args(Kind)


def evaluate_cmi(
    model: Imaginer,
    dataset: Dataset,
    subsets: Literal["all"] | Sequence[Sequence[str]] = "all",
    samples: int = 10,
    *,
    targets: Sequence[str] | None = None,
    cross_only: bool = False,
    frechet: Collection[Kind] = KINDS,
    judges: Judges | None = None,
    name: str | None = None,
    seed: int = 0,
    batch_size: int = 2000,
    progress: bool = False,
) -> Report:
    """How well ``model`` imagines each target from each subset of its modalities.

    For every test item and subset, ``samples`` samples of all ``targets`` (default:
    all; with ``cross_only`` of those that are not given) are drawn from one encoding.
    *Accuracy* is the share whose class, as the
    judge of that modality sees it, is the item's; *MFD* (Eq. 20) compares the first
    sample of each item with the real test items, for targets that are not labels, in
    the ways named by ``frechet``: "class", with an autoencoder a class, averaged over
    classes (the paper), and "pooled", with one (its code). *Coherence* is how often
    all modalities of a joint sample of the prior agree on a class, where the model has
    ``prior``.

    ``judges`` are those of the dataset, trained now if need be, unless given. ``name``
    names the model in the report. Memory is bounded by ``batch_size`` samples at a
    time (or ``samples``, if that is more). Noise depends on ``seed``, the subset and
    the batch: the numbers of a subset are the same whatever else is asked for, but
    vary within sampling error with ``batch_size``.

    Raises ``UserError`` where model and dataset have other modalities, for unknown
    names, a dataset without test items or labels, too few items of a class, and
    ``samples`` or ``batch_size`` below 1.
    """
    imagination = Imagination(model, dataset)
    known = list(imagination.modalities)
    asked, targets = _subsets(subsets, known), chosen(targets, known)
    wanted = {
        given: [t for t in targets if not (cross_only and t in given)]
        for given in asked
    }
    judges = judges or Judges.of(
        dataset, device=str(imagination.device), progress=progress
    )
    measure = prepare(dataset, targets, judges, samples, frechet, seed, batch_size)
    name = name or imagination.name
    rows = measure.rows(imagination, wanted, name, progress)
    coherence = measure.coherence(imagination, targets, name)
    return Report(measure.settings, judges.describe(), tuple(rows), coherence)


def prepare(
    dataset: Dataset,
    targets: Sequence[str],
    judges: Judges,
    samples: int,
    frechet: Collection[Kind],
    seed: int,
    batch_size: int,
) -> Measure:
    """What measures ``targets``. Raises the errors of ``evaluate_cmi``."""
    _check(dataset, samples, batch_size, seed, frechet)
    for name in targets:
        judges.check_judged(name)
    if "class" in frechet and not all(is_label(dataset, name) for name in targets):
        check_classes(dataset, judges)
    return Measure(dataset, judges, samples, [*frechet], seed, batch_size)


def chosen(names: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """``names`` in the model's order, each once; all by default."""
    if names is None:
        return [*known]
    modality.check_names(names)
    if not names:
        raise UserError("expected at least one modality, got none")
    for name in names:
        choose(name, dict.fromkeys(known), "modality")
    return [name for name in known if name in names]


def _subsets(
    subsets: str | Sequence[Sequence[str]], known: Sequence[str]
) -> list[tuple[str, ...]]:
    if subsets == "all":
        return modality.subsets(known)
    if isinstance(subsets, str):
        raise UserError(
            f'subsets must be "all" or a list of lists of names, got {subsets!r}'
        )
    if not isinstance(subsets, Sequence) or not subsets:
        raise UserError(f'expected at least one subset, or "all", got {subsets!r}')
    for given in subsets:
        if given is None:
            raise UserError("expected a list of modality names as a subset, got None")
    return list(dict.fromkeys(tuple(chosen(given, known)) for given in subsets))


def _check(
    dataset: Dataset, samples: int, batch_size: int, seed: int, frechet: Collection[str]
) -> None:
    for what, value, least in (
        ("samples", samples, 1),
        ("batch_size", batch_size, 1),
        ("seed", seed, 0),
    ):
        try:
            index(value)
        except TypeError:
            raise UserError(f"{what} must be a whole number, got {value!r}") from None
        if value < least:
            raise UserError(f"{what} must be at least {least}, got {value}")
    if isinstance(frechet, str) or not isinstance(frechet, Iterable):
        raise UserError(
            f"expected a list of kinds of MFD, such as ['class'], got {frechet!r}"
        )
    for kind in frechet:
        choose(kind, dict.fromkeys(KINDS), "kind of MFD")
    if not len(dataset.test[dataset.modalities[0].name]):
        raise UserError(
            f"dataset {dataset.name!r} has no test items; models are measured on data "
            "that they were not trained on"
        )


def check_classes(dataset: Dataset, judges: Judges) -> None:
    """Raises ``UserError`` where a class has too few items for an MFD of its own."""
    for part, data in (("test", dataset.test), ("train", dataset.train)):
        counts = classes_of(data[judges.label]).bincount(minlength=judges.classes)
        if counts.min() < 2:
            raise UserError(
                f"class MFD needs at least two items of every class, but class "
                f"{int(counts.argmin())} has {int(counts.min())} in {part} of dataset "
                f"{dataset.name!r}; use more data (evaluate_cmi can do without, too: "
                "frechet)"
            )
