"""Verdicts on the paper's claims: what counts as a difference, and what is open."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import pytest
from script_runs import SCRIPTS

from nexus_rl.cmi import Report
from nexus_rl.cmi.report import Row


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(SCRIPTS)
    return importlib.import_module("paper_claims")


def write(
    out: Path,
    row: str,
    cross: list[float],
    mfd: float = 100.0,
    experiment: str = "table2",
    joint: float = 0.9,
    rho: float = 0.1,
) -> None:
    """A run a seed; ``cross`` is the accuracy of both directions of each."""
    for seed, accuracy in enumerate(cross):

        def measured(
            given: str, target: str, kind: str, value: float, distance: float | None
        ) -> Row:
            names = tuple(given.split())
            return Row(
                row, names, target, kind, value, None, 1.0, mfd_class=distance, n=9
            )

        rows = (
            measured("label", "image", "cross", accuracy, mfd + seed),
            measured("image", "label", "cross", accuracy, None),
            measured("image", "image", "single", accuracy, mfd),
            measured("image label", "image", "joint", joint + 0.001 * seed, mfd),
        )
        run = {"dataset": "mnist", "epochs": 2, "seed": seed, "model": {"rho": rho}}
        report = Report({}, {}, rows, runs={row: run})
        path = out / experiment / f"{row}_{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.to_json())


def verdicts(path: Path) -> dict[str, tuple[str, str]]:
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in path.read_text().splitlines()
        if line.startswith("| ")
    ]
    return {claim: (here, numbers) for claim, here, numbers in cells[2:]}


def test_a_difference_counts_beyond_the_seeds_noise(
    claims: ModuleType, tmp_path: Path
) -> None:
    write(tmp_path, "nexus_2", [0.80, 0.81, 0.82])
    write(tmp_path, "mvae_1", [0.20, 0.21, 0.22], mfd=120)
    write(tmp_path, "mmvae_1", [0.805, 0.815, 0.825], mfd=90)
    found = verdicts(claims.write_claims(tmp_path))
    here, numbers = found["Single-level MVAE: cross-modality accuracy is low"]
    assert here == "confirmed"
    assert numbers == "Nexus, 2 levels 81.0 ± 1.0, MVAE, 1 level 21.0 ± 1.0"
    mfd = found["Single-level MVAE: its MFD is lower than that of Nexus"]
    assert mfd[0] == "not confirmed"
    above = found["Cross-modality accuracy: Nexus is above every other model"]
    assert above[0] == "not confirmed" and "MMVAE, 1 level 81.5" in above[1]
    highest = found["MMVAE (single level) has the highest MFD"]
    assert highest[0] == "not confirmed"


def test_what_was_not_measured_is_open(claims: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "nexus_2", [0.8, 0.8, 0.8])
    write(tmp_path, "mvae_1", [0.2])  # one seed says nothing about noise
    found = verdicts(claims.write_claims(tmp_path))
    assert {here for here, _ in found.values()} == {"open"}


def test_concatenation_is_alike_within_two_points(
    claims: ModuleType, tmp_path: Path
) -> None:
    claim = "With two modalities concatenation (Nexus-0) does as well as the mean"
    write(tmp_path, "nexus_2", [0.80, 0.80, 0.80])
    write(tmp_path, "nexus0_2", [0.815, 0.815, 0.815])
    assert verdicts(claims.write_claims(tmp_path))[claim][0] == "confirmed"
    write(tmp_path, "nexus0_2", [0.60, 0.61, 0.62])
    assert verdicts(claims.write_claims(tmp_path))[claim][0] == "not confirmed"


def test_claims_about_rho(claims: ModuleType, tmp_path: Path) -> None:
    for rho, cross, mfd, joint in (
        (0.0, 0.5, 80, 0.9),
        (0.05, 0.8, 80, 0.9),
        (0.1, 0.8, 85, 0.9),
        (0.8, 0.8, 100, 0.9),
        (1.0, 0.8, 110, 0.6),
    ):
        accuracies = [cross, cross + 0.01, cross + 0.02]
        name = f"rho{rho:g}"
        write(tmp_path, name, accuracies, mfd, "fig_a21", joint, rho)
    found = verdicts(claims.write_claims(tmp_path))
    for claim in claims.RHO_CLAIMS:
        assert found[claim][0] == "confirmed", (claim, found[claim])
    assert {found[claim][0] for claim in claims.CLAIMS} == {"open"}
