"""Measuring imaginers on one dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from tqdm import tqdm

from nexus_rl.cmi.imaginer import Imagination
from nexus_rl.cmi.judges import Judges
from nexus_rl.cmi.report import Coherence, Row
from nexus_rl.cmi.tally import Kind, Reference, Tally
from nexus_rl.data.dataset import Dataset, classes_of
from nexus_rl.draws import seeded

Wanted = Mapping[tuple[str, ...], Sequence[str]]  # the targets of each subset


class Measure:
    """What judges say of imaginers; what real data reach is found once a target.

    ``samples``, ``frechet``, ``seed`` and ``batch_size`` are those of ``evaluate_cmi``.
    """

    def __init__(
        self,
        dataset: Dataset,
        judges: Judges,
        samples: int,
        frechet: Sequence[Kind],
        seed: int,
        batch_size: int,
    ) -> None:
        self.dataset, self.judges, self.data = dataset, judges, dataset.test
        self.samples, self.frechet, self.seed = samples, frechet, seed
        self.batch_size = batch_size
        self.classes = classes_of(self.data[judges.label])
        self._real: dict[str, Reference] = {}

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides the numbers, beside model and judges."""
        return {
            "dataset": self.dataset.name,
            "items": len(self.classes),
            "classes": self.judges.classes,
            "samples": self.samples,
            "frechet": [*self.frechet],
            "seed": self.seed,
            "batch_size": self.batch_size,
        }

    def real(self, target: str) -> Reference:
        """Real data of ``target``."""
        if target not in self._real:
            self._real[target] = Reference(
                self.judges, self.dataset, target, self.frechet, self.batch_size
            )
        return self._real[target]

    def rows(
        self, imagination: Imagination, wanted: Wanted, name: str, progress: bool
    ) -> list[Row]:
        """One row a subset and target; subsets without targets are skipped."""
        known, rows = list(imagination.modalities), []
        wanted = {given: targets for given, targets in wanted.items() if targets}
        with tqdm(total=len(wanted) * len(self.classes), disable=not progress) as bar:
            for given, targets in wanted.items():
                bar.set_description(", ".join(given))
                tallies = self.tally(imagination, given, targets, bar)
                for target, (drawn, means) in tallies.items():
                    kind, real = kind_of(given, target, known), self.real(target)
                    rows.append(_row(name, given, kind, drawn, means, real))
        return rows

    @torch.inference_mode()
    def tally(
        self,
        imagination: Imagination,
        given: Sequence[str],
        targets: Sequence[str],
        bar: Any,
    ) -> dict[str, tuple[Tally, Tally]]:
        """For each target what samples and posterior means are like."""
        size = max(1, self.batch_size // self.samples)
        tallies = {
            target: (
                Tally(self.judges, target, list(self.real(target).d)),
                Tally(self.judges, target),
            )
            for target in targets
        }
        for start in range(0, len(self.classes), size):
            chosen = slice(start, start + size)
            batch = {name: self.data[name][chosen] for name in given}
            noise = self._noise(imagination, given, start)
            drawn = imagination.samples(batch, targets, self.samples, noise)
            means = imagination.means(batch, targets)
            for target, (of_samples, of_means) in tallies.items():
                of_samples.add(drawn[target], self.classes[chosen])
                if means:
                    of_means.add(means[target], self.classes[chosen])
            bar.update(len(self.classes[chosen]))
        return tallies

    @torch.inference_mode()
    def coherence(
        self, imagination: Imagination, targets: Sequence[str], name: str
    ) -> tuple[Coherence, ...]:
        """Of as many joint samples of the prior as there are test items."""
        n = len(self.classes)
        if len(targets) < 2:
            return ()
        agreeing = 0
        for start in range(0, n, self.batch_size):
            noise = self._noise(imagination, (), start)
            rows = min(self.batch_size, n - start)
            drawn = imagination.joint(rows, targets, noise)
            if drawn is None:
                return ()
            seen = torch.stack(
                [self.judges.classify(target, drawn[target]) for target in targets]
            )
            agreeing += int((seen == seen[0]).all(0).sum())
        return (Coherence(name, tuple(targets), agreeing / n, n),)

    def _noise(
        self, imagination: Imagination, given: Sequence[str], start: int
    ) -> torch.Generator:
        places = [k for k, m in enumerate(imagination.modalities) if m in given]
        subset = sum(2**k for k in places)
        return seeded(self.seed, subset, start, device=imagination.device)


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
