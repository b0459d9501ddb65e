"""Cross-modality inference of any model, measured as in the paper (section 6)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from tqdm import tqdm

from nexus_rl import modality
from nexus_rl.cmi.imaginer import Imagination, Imaginer
from nexus_rl.cmi.judges import Judges
from nexus_rl.cmi.report import Coherence, Report, Row
from nexus_rl.cmi.tally import Kind, Reference, Tally, is_label
from nexus_rl.data.dataset import Dataset, classes_of
from nexus_rl.draws import seeded
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
    asked, targets = _subsets(subsets, known), _chosen(targets, known)
    wanted = {
        given: [t for t in targets if not (cross_only and t in given)]
        for given in asked
    }
    asked = [given for given in asked if wanted[given]]
    _check(dataset, samples, batch_size, seed, frechet)
    judges = judges or Judges.of(
        dataset, device=str(imagination.device), progress=progress
    )
    if "class" in frechet and not all(is_label(dataset, name) for name in targets):
        _check_classes(dataset, judges)
    real = {
        target: Reference(judges, dataset, target, frechet, batch_size)
        for target in targets
    }
    evaluation = _Evaluation(imagination, dataset, judges, real, samples, seed)
    name = name or imagination.name
    rows = []
    with tqdm(total=len(asked) * evaluation.n, disable=not progress) as bar:
        for given in asked:
            bar.set_description(", ".join(given))
            size = max(1, batch_size // samples)
            tallies = evaluation.tally(given, wanted[given], size, bar)
            for target, (drawn, means) in tallies.items():
                kind = kind_of(given, target, known)
                rows.append(_row(name, given, kind, drawn, means, real[target]))
    settings = {
        "dataset": dataset.name,
        "items": evaluation.n,
        "classes": judges.classes,
        "samples": samples,
        "frechet": list(frechet),
        "seed": seed,
        "batch_size": batch_size,
    }
    coherence = evaluation.coherence(name, batch_size)
    return Report(settings, judges.describe(), tuple(rows), coherence)


class _Evaluation:
    """One model on one dataset; ``real`` holds the targets."""

    def __init__(
        self,
        imagination: Imagination,
        dataset: Dataset,
        judges: Judges,
        real: Mapping[str, Reference],
        samples: int,
        seed: int,
    ) -> None:
        self.imagination, self.judges, self.real = imagination, judges, real
        self.data, self.samples, self.seed = dataset.test, samples, seed
        self.classes = classes_of(self.data[judges.label])
        self.n = len(self.classes)

    @torch.inference_mode()
    def tally(
        self, given: Sequence[str], targets: Sequence[str], size: int, bar: Any
    ) -> dict[str, tuple[Tally, Tally]]:
        """For each target what samples and posterior means are like."""
        tallies = {
            target: (
                Tally(self.judges, target, list(self.real[target].d)),
                Tally(self.judges, target),
            )
            for target in targets
        }
        for start in range(0, self.n, size):
            chosen = slice(start, start + size)
            batch = {name: self.data[name][chosen] for name in given}
            noise = self._noise(given, start)
            drawn = self.imagination.samples(batch, targets, self.samples, noise)
            means = self.imagination.means(batch, targets)
            for target, (of_samples, of_means) in tallies.items():
                of_samples.add(drawn[target], self.classes[chosen])
                if means:
                    of_means.add(means[target], self.classes[chosen])
            bar.update(len(self.classes[chosen]))
        return tallies

    @torch.inference_mode()
    def coherence(self, name: str, batch_size: int) -> tuple[Coherence, ...]:
        """Of as many joint samples of the prior as there are test items."""
        prior = getattr(self.imagination.model, "prior", None)
        if prior is None or len(self.real) < 2:
            return ()
        agreeing = 0
        for start in range(0, self.n, batch_size):
            rows = min(batch_size, self.n - start)
            drawn = prior(rows, targets=[*self.real], generator=self._noise((), start))
            seen = torch.stack(
                [self.judges.classify(target, drawn[target]) for target in self.real]
            )
            agreeing += int((seen == seen[0]).all(0).sum())
        return (Coherence(name, tuple(self.real), agreeing / self.n, self.n),)

    def _noise(self, given: Sequence[str], start: int) -> torch.Generator:
        places = [k for k, m in enumerate(self.imagination.modalities) if m in given]
        subset = sum(2**k for k in places)
        return seeded(self.seed, subset, start, device=self.imagination.device)


def kind_of(given: Sequence[str], target: str, known: Sequence[str]) -> str:
    """The paper's name for a direction (see ``Row``)."""
    if target not in given:
        return "cross"
    if len(given) == 1:
        return "single"
    return "joint" if len(given) == len(known) else "partial"


def _row(
    model: str,
    given: tuple[str, ...],
    kind: str,
    drawn: Tally,
    means: Tally,
    real: Reference,
) -> Row:
    mfd = {each: drawn.features.mfd(real.features, each) for each in real.d}
    return Row(
        model,
        given,
        drawn.name,
        kind,
        drawn.accuracy,
        means.accuracy if means.samples else None,
        real.ceiling,
        mfd_class=mfd.get("class"),
        floor_class=real.floor.get("class"),
        d_class=real.d.get("class"),
        mfd_pooled=mfd.get("pooled"),
        floor_pooled=real.floor.get("pooled"),
        d_pooled=real.d.get("pooled"),
        n=real.n if mfd else None,
        n_floor=real.n_floor if mfd else None,
    )


def _chosen(names: Sequence[str] | None, known: Sequence[str]) -> list[str]:
    """``names`` in the model's order, each once; all by default."""
    if isinstance(names, str):
        raise UserError(f"expected a list of modality names, e.g. [{names!r}]")
    if names is not None and not names:
        raise UserError("expected at least one modality, got none")
    for name in names or ():
        choose(name, dict.fromkeys(known), "modality")
    return [name for name in known if names is None or name in names]


def _subsets(
    subsets: str | Sequence[Sequence[str]], known: Sequence[str]
) -> list[tuple[str, ...]]:
    if subsets == "all":
        return modality.subsets(known)
    if isinstance(subsets, str):
        raise UserError(
            f'subsets must be "all" or a list of lists of names, got {subsets!r}'
        )
    if not subsets:
        raise UserError('expected at least one subset, or "all"')
    return list(dict.fromkeys(tuple(_chosen(given, known)) for given in subsets))


def _check(
    dataset: Dataset, samples: int, batch_size: int, seed: int, frechet: Collection[str]
) -> None:
    for what, value, least in (
        ("samples", samples, 1),
        ("batch_size", batch_size, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            raise UserError(f"{what} must be at least {least}, got {value}")
    if isinstance(frechet, str):
        raise UserError(f"expected a list of kinds of MFD, e.g. [{frechet!r}]")
    for kind in frechet:
        choose(kind, dict.fromkeys(KINDS), "kind of MFD")
    if not len(dataset.test[dataset.modalities[0].name]):
        raise UserError(
            f"dataset {dataset.name!r} has no test items; models are measured on data "
            "that they were not trained on"
        )


def _check_classes(dataset: Dataset, judges: Judges) -> None:
    for part, data in (("test", dataset.test), ("train", dataset.train)):
        counts = classes_of(data[judges.label]).bincount(minlength=judges.classes)
        if counts.min() < 2:
            raise UserError(
                f"class MFD needs at least two items of every class, but class "
                f"{int(counts.argmin())} has {int(counts.min())} in {part} of dataset "
                f'{dataset.name!r}; use more data, or frechet=["pooled"]'
            )
