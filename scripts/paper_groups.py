"""The runs of an experiment, seeds together, read from their JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from nexus_rl.cmi.report import Report, check_same
from nexus_rl.cmi.spread import MEASURES, Spread, over_seeds
from nexus_rl.errors import UserError
from nexus_rl.files import read_json

PUBLISHED = Path(__file__).parents[1] / "results" / "published.json"
COLUMNS = ("single", "joint", "cross")
MIXTURES = {"mmvae", "mmjsd", "avae"}  # of several given modalities they see one
NEWER = ("mopoe", "mvtcae", "mmjsd", "jmvae", "avae")  # than the paper's rivals


@dataclass(frozen=True)
class Group:
    """All seeds of one row of one dataset, trained for the same number of epochs."""

    dataset: str
    row: str
    epochs: int
    reports: tuple[Report, ...]

    @property
    def runs(self) -> list[dict[str, Any]]:
        return [report.runs[self.row] for report in self.reports]

    @property
    def schedule(self) -> tuple[int, str]:
        """For how many epochs it was trained, and what was trained alone before."""
        return self.epochs, alone_of(self.runs[0])

    @property
    def latent(self) -> int:
        """Dimensions of the top latent."""
        size: int = self.runs[0]["model"]["latent_dim"]
        return size

    def spread(self, kind: str, measure: str) -> Spread | None:
        """Over the directions of one kind, such as "cross"."""
        found = {each["kind"]: each for each in over_seeds(self.reports, ("kind",))}
        value: Spread | None = found[kind][measure] if kind in found else None
        return value

    def given(self, count: int, target: str) -> dict[str, Spread | None]:
        """Each measure of ``target`` over all sets of ``count`` given modalities."""
        key = {"given_count": count, "target": target}
        for each in over_seeds(self.reports, tuple(key)):
            if each.items() >= key.items():
                return each
        return dict.fromkeys(MEASURES)

    def coherence(self) -> list[float]:
        """How often image and label of a joint sample agree, a share a seed."""
        return [each.agreement for report in self.reports for each in report.coherence]

    def frontier(self) -> dict[str, tuple[float, float]]:
        """Accuracy and class MFD of each way to make an image, means over seeds."""
        found: dict[str, list[tuple[float, float]]] = defaultdict(list)
        for report in self.reports:
            for point in report.frontier:
                found[point.what].append((point.accuracy, point.mfd_class))
        return {
            what: (fmean(a for a, _ in points), fmean(m for _, m in points))
            for what, points in found.items()
        }


def read_groups(folder: Path) -> list[Group]:
    """The runs below ``folder``, seeds together, by dataset and epochs, in order.

    Raises ``UserError`` if there are none, or if those of a dataset do not compare.
    """
    found: dict[tuple[str, int, str, str], list[Report]] = defaultdict(list)
    first: dict[str, tuple[Path, Report]] = {}
    for path in sorted(folder.glob("*.json")):
        report = read_report(path)
        row, run = next(iter(report.runs.items()))
        found[run["dataset"], run["epochs"], row, alone_of(run)].append(report)
        _check_data(first.setdefault(run["dataset"], (path, report)), path, report)
    if not found:
        raise UserError(f"no results in {folder}")
    groups = [Group(key[0], key[2], key[1], tuple(r)) for key, r in found.items()]
    return sorted(groups, key=_place)


def read_report(path: Path) -> Report:
    """The result of a run. Raises ``UserError`` that names a damaged file."""
    try:
        return Report.from_json(path.read_text())
    except (UserError, OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path}: {error}; restore it, or delete it, and it is made again"
        ) from None


def alone_of(run: Mapping[str, Any]) -> str:
    """What ``run`` trained alone, and for how many epochs."""
    return str({name: how["epochs"] for name, how in run.get("alone", {}).items()})


def _check_data(first: tuple[Path, Report], path: Path, report: Report) -> None:
    (known,), (mine,) = first[1].runs.values(), report.runs.values()
    try:
        check_same(first[1], report)
        if content_of(known) != content_of(mine):
            raise UserError("their data are from other sources")
    except UserError as error:
        raise UserError(
            f"{path} and {first[0]} cannot stand in one table: {error}; move one away, "
            "or choose another folder (--out)"
        ) from None


def content_of(run: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the data of ``run``: not which versions made them."""
    told = run.get("data", {})
    return {name: told.get(name) for name in ("kind", "options", "sides")}


def _place(group: Group) -> tuple[str, int, str, int]:
    known, (name, _, rest) = list(TITLES), group.row.partition("_")
    name = group.row if group.row in known else name
    place = known.index(name) if name in known else len(known)
    return group.dataset, place, rest, group.epochs


def by_dataset(groups: Sequence[Group]) -> dict[str, list[Group]]:
    """The groups of each dataset."""
    found: dict[str, list[Group]] = defaultdict(list)
    for group in groups:
        found[group.dataset].append(group)
    return found


def rho_of(group: Group) -> float:
    """With which probability modalities were dropped."""
    rho: float = group.runs[0]["model"]["rho"]
    return rho


def model_of(row: str) -> str:
    """The model of mvae_2 is mvae."""
    return row.partition("_")[0]


def title(row: str) -> str:
    """mvae_2 is "MVAE, 2 levels", mvae_plus "MVAE+", mvae_1_16 with latent 16."""
    name, *parts = row.split("_")
    if row in TITLES or not parts:
        return TITLES.get(row, row.replace("rho", "rho "))
    levels, *latent = parts
    text = f"{TITLES.get(name, name)}+"
    if levels != "plus":
        text = f"{TITLES.get(name, name)}, {levels} level{'s' * (levels != '1')}"
    return text + "".join(f", latent {size}" for size in latent)


TITLES = {
    "nexus": "Nexus",
    "nexus0": "Nexus-0",
    "plus_blurred": "with the paper's image bottom",
    "plus_sampled": "with samples upward",
    "plus_unaligned": "without alignment",
    "plus_aligned": "with ten times the alignment",
    "plus_dropped": "with rho 0.5",
    "plus_decoder": "with the label read through its decoder",
    "mvae": "MVAE",
    "mmvae": "MMVAE",
    "mopoe": "MoPoE",
    "mvtcae": "MVTCAE",
    "mmjsd": "mmJSD",
    "jmvae": "JMVAE",
    "avae": "AVAE",
    "vae": "multimodal VAE",
    "muse": "MUSE",
}


def published(experiment: str) -> dict[str, Any]:
    """What the paper reports in a table, by data set and row."""
    found: dict[str, Any] = read_json(PUBLISHED, "table of published figures")
    return dict(found.get(experiment, {}))
