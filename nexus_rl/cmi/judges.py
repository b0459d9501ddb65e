"""What says of which class imagined data are, and how far they are from real ones."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from nexus_rl.cmi.judge_networks import FEATURES, Autoencoder, Classifier, Judge
from nexus_rl.cmi.judge_training import fit, load
from nexus_rl.cmi.returned import answers
from nexus_rl.columns import digests
from nexus_rl.config import TrainConfig, check_fields
from nexus_rl.data.dataset import Dataset, classes_of, distinct_rows
from nexus_rl.data.files import cache_folder
from nexus_rl.errors import UserError, choose
from nexus_rl.processes import resolve_device
from nexus_rl.tensors import write_tensors

CHUNK = 250  # rows at a time: what fits into the cache of a processor
MOST_EPOCHS = 100  # of the released code
Given = Callable[[Tensor], Tensor]
Columns = Mapping[str, Tensor]


@dataclass(frozen=True)
class JudgeConfig:
    """How judges are trained. The released code trains all for 100 epochs, and
    autoencoders of images with batches of 16."""

    classifier_epochs: int = 20
    """Passes over the training data; the weights of least validation loss are kept."""
    autoencoder_epochs: int = 20
    """The same for autoencoders, each on its class or on everything."""
    batch_size: int = 64
    """Rows a step."""
    learning_rate: float = 1e-3
    """Adam's step size."""
    seed: int = 4
    """Seeds weights, split, order and noise: judges are the same for all models."""

    def __post_init__(self) -> None:
        check_fields(self)
        for epochs in (self.classifier_epochs, self.autoencoder_epochs):
            self.train(epochs, "cpu")  # refuses what no loop can do

    def train(self, epochs: int, device: str) -> TrainConfig:
        """The settings of the loop."""
        return TrainConfig(
            epochs=epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            warmup_epochs=0,
            seed=self.seed,
            device=device,
        )


class Judges:
    """Classifiers and autoencoders of one dataset, shared by all models.

    Each is trained on the training split when it is first needed, and kept in a folder
    under a name that depends on the data and on all settings. Where at most half of
    the rows that one learns from differ, it learns each once: a repeat teaches nothing,
    and one among the validation rows would hide overfitting. It passes over them more
    often, for as many steps, but at most ``MOST_EPOCHS`` times. Make them by ``of``.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: JudgeConfig,
        folder: Path,
        device: str,
        progress: bool,
        classifiers: Mapping[str, Given],
    ) -> None:
        labels = [m for m in dataset.modalities if m.categorical]
        if not labels:
            raise UserError(
                f"dataset {dataset.name!r} has no label, by which accuracy is told: "
                "add a categorical modality"
            )
        self.dataset, self.config, self.folder = dataset, config, folder
        self.device, self.progress = resolve_device(device), progress
        self.label_modality = labels[0]
        self.label, self.classes = labels[0].name, labels[0].shape[0]
        self.modalities = {m.name: m for m in dataset.modalities}
        for name in classifiers:
            choose(name, self.modalities, f"modality of dataset {dataset.name!r}:")
        self.given = dict(classifiers)
        self._ready: dict[str, Any] = {}

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        *,
        config: JudgeConfig | None = None,
        classifiers: Mapping[str, Given] | None = None,
        cache: str | Path | None = None,
        device: str = "cpu",
        progress: bool = False,
    ) -> Judges:
        """The judges of ``dataset``; nothing is trained before it is needed.

        ``classifiers`` are your own, by modality: each gets data (B, *shape) as the
        dataset has them and returns scores (B, K) or classes (B,). ``cache`` is where
        trained judges are kept (default: the user's cache). Raises ``UserError`` for a
        dataset without a label, unknown modalities, or a device that is not there.
        """
        return cls(
            dataset,
            config or JudgeConfig(),
            Path(cache) if cache is not None else cache_folder("judges"),
            device,
            progress,
            classifiers or {},
        )

    # -- Judging -----------------------------------------------------------------

    @torch.inference_mode()
    def classify(self, name: str, x: Tensor) -> Tensor:
        """Classes (B,) of data of modality ``name``, in data space.

        Of a label the scores' largest; of anything else the classifier's.
        """
        if name in self.given:
            ask, parts = self.given[name], torch.split(x, CHUNK)
            scores = torch.cat(
                [answers(ask(p), name, len(p), self.classes) for p in parts]
            )
        elif self.modalities[name].categorical:
            scores = x
        else:
            classifier = cast(Classifier, self.judge(name, "classifier"))
            scores = self._each(x, name, classifier.scores)
        return scores if scores.dim() == 1 else scores.argmax(1)

    def check_judged(self, name: str) -> None:
        """Raises ``UserError`` for a second label, whose classes are other ones."""
        if self.modalities[name].categorical and name not in (self.label, *self.given):
            raise UserError(
                f"classes are those of {self.label!r}, which {name!r} does not have: "
                "leave it out of the targets, or give a classifier of it"
            )

    def ceiling(self, name: str) -> float:
        """The classifier's accuracy on real test items, a fraction of 1."""
        if self.modalities[name].categorical and name not in self.given:
            return 1.0
        key = f"ceiling of {name}"
        if key not in self._ready:
            seen = self.classify(name, self.dataset.test[name])
            right = seen == classes_of(self.dataset.test[self.label]).to(seen.device)
            self._ready[key] = float(right.double().mean())
        return cast(float, self._ready[key])

    @torch.inference_mode()
    def features(self, name: str, x: Tensor, classes: Tensor | None) -> Tensor:
        """Features (B, d) of data (B, *shape) in data space.

        Each row's by the autoencoder of its class in ``classes`` (B,), or by that of
        everything where None.
        """
        if classes is None:
            pooled = cast(Autoencoder, self.judge(name, "autoencoder"))
            return self._each(x, name, pooled.features)
        found = torch.empty(len(x), self.feature_dim(name, False), device=self.device)
        for k in sorted(set(classes.tolist())):
            rows = (classes == k).nonzero().squeeze(1)
            judge = cast(Autoencoder, self.judge(name, f"autoencoder-class{k}"))
            found[rows.to(self.device)] = self._each(
                x[rows.to(x.device)], name, judge.features
            )
        return found

    def feature_dim(self, name: str, pooled: bool) -> int:
        """The number of features d."""
        return FEATURES[self.modalities[name].kind][pooled]

    def describe(self) -> dict[str, Any]:
        """Everything that decides what the judges say, for JSON.

        "distinct" counts the different rows of modalities that mostly repeat them;
        "given" names classifiers of the user's, by how often they are right.
        """
        distinct = {}
        for name, modality in self.modalities.items():
            rows, repeats = self._rows(name, "autoencoder")
            if repeats > 1 and not modality.categorical:
                distinct[name] = len(rows)
        return {
            **asdict(self.config),
            "given": [
                f"{n}: {100 * self.ceiling(n):.2f} %" for n in sorted(self.given)
            ],
            "data": {name: self._content(name) for name in self.modalities},
            **({"distinct": distinct} if distinct else {}),
        }

    def _each(self, x: Tensor, name: str, network: Given) -> Tensor:
        modality = self.modalities[name]
        parts = torch.split(x, CHUNK) if len(x) else (x,)
        return torch.cat(
            [network(modality.normalise(part.to(self.device))) for part in parts]
        )

    # -- Training ----------------------------------------------------------------

    def names(self) -> list[tuple[str, str]]:
        """All judges that can be needed, as (modality, what)."""
        each = ["autoencoder", *(f"autoencoder-class{k}" for k in range(self.classes))]
        return [
            (name, what)
            for name, modality in self.modalities.items()
            if not modality.categorical
            for what in (["classifier"] if name not in self.given else []) + each
        ]

    @torch.inference_mode(False)  # it may be trained when it is first asked
    @torch.enable_grad()
    def judge(self, name: str, what: str) -> Judge:
        """One of ``names``, trained unless it is kept already."""
        key = f"{name} {what}"
        if key not in self._ready:
            judge = self._new(name, what)
            path = self._path(name, what)
            if path.exists():
                load(judge, path)
            else:
                self._fit(judge, name, what)
                write_tensors(path, judge.state_dict())
            self._ready[key] = judge.to(self.device).eval().requires_grad_(False)
        return cast(Judge, self._ready[key])

    def _new(self, name: str, what: str) -> Judge:
        modality = self.modalities[name]
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.config.seed)
            if what == "classifier":
                return Classifier(modality, self.label_modality)
            dim = self.feature_dim(name, pooled=what == "autoencoder")
            return Autoencoder(modality, dim)

    def _fit(self, judge: Judge, name: str, what: str) -> None:
        epochs = self.config.autoencoder_epochs
        if what == "classifier":
            epochs = self.config.classifier_epochs
        rows, repeats = self._rows(name, what)
        epochs = max(epochs, min(int(epochs * repeats), MOST_EPOCHS))
        data = {n: self.dataset.train[n][rows] for n in (name, self.label)}
        config = self.config.train(epochs, str(self.device))
        fit(judge, data, config, self.progress, f"{name} {what}")

    def _rows(self, name: str, what: str) -> tuple[Tensor, float]:
        """The training rows that a judge learns from, and how often each comes.

        1 where most rows differ, and all are used.
        """
        rows = torch.arange(len(self.dataset.train[name]))
        if "-class" in what:
            k = int(what.rpartition("-class")[2])
            rows = (classes_of(self.dataset.train[self.label]) == k).nonzero()[:, 0]
        first, _ = distinct_rows(self.dataset.train[name][rows])
        if 2 * len(first) > len(rows):
            return rows, 1.0
        return rows[first], len(rows) / len(first)

    # -- Keeping -----------------------------------------------------------------

    def _path(self, name: str, what: str) -> Path:
        modality = asdict(self.modalities[name])
        used = {k: modality[k] for k in ("shape", "kind", "likelihood", "low", "high")}
        settings = {
            **asdict(self.config),
            "modality": used,
            "what": what,
            "data": [self._content(name), self._content(self.label)],
        }
        rows, repeats = self._rows(name, what)
        if repeats > 1:
            settings["distinct"] = len(rows)
        text = json.dumps(settings, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        return self.folder / f"{self.dataset.name}-{name}-{what}-{digest}.safetensors"

    def _content(self, name: str) -> str:
        return self._contents[name]

    @cached_property
    def _contents(self) -> dict[str, str]:
        return digests(self.dataset.train)
