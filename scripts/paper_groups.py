"""The runs of an experiment, seeds together, read from their JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from nexus_rl.cmi.report import Report
from nexus_rl.cmi.spread import MEASURES, Spread, over_seeds
from nexus_rl.errors import UserError
from nexus_rl.files import read_json

PUBLISHED = Path(__file__).parents[1] / "results" / "published.json"
COLUMNS = ("single", "joint", "cross")


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
    """The runs below ``folder``, seeds together, by dataset and epochs, in order."""
    found: dict[tuple[str, int, str, str], list[Report]] = defaultdict(list)
    for path in sorted(folder.glob("*.json")):
        report = Report.from_json(path.read_text())
        row, run = next(iter(report.runs.items()))
        alone = {name: how["epochs"] for name, how in run.get("alone", {}).items()}
        found[run["dataset"], run["epochs"], row, str(alone)].append(report)
    if not found:
        raise UserError(f"no results in {folder}")
    groups = [Group(key[0], key[2], key[1], tuple(r)) for key, r in found.items()]
    return sorted(groups, key=_place)


def _place(group: Group) -> tuple[str, int, str, int]:
    name, _, levels = group.row.rpartition("_")
    known, name = list(TITLES), name if levels.isdigit() else group.row
    place = known.index(name) if name in known else len(known)
    return group.dataset, place, levels, group.epochs


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


def title(row: str) -> str:
    """mvae_2 is "MVAE, 2 levels"."""
    name, _, levels = row.rpartition("_")
    if not levels.isdigit():
        return TITLES.get(row, row.replace("rho", "rho "))
    return f"{TITLES.get(name, name)}, {levels} level{'s' * (levels != '1')}"


TITLES = {
    "nexus": "Nexus",
    "nexus0": "Nexus-0",
    "nexus_plus": "Nexus+",
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
