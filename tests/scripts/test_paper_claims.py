"""Verdicts on the paper's claims: what counts as a difference, and what is open."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from nexus_rl.cmi import Report
from nexus_rl.cmi.report import Row
from nexus_rl.modality import subsets


@pytest.fixture
def claims(module_of: Callable[[str], ModuleType]) -> ModuleType:
    return module_of("paper_claims")


def write(
    out: Path,
    row: str,
    cross: list[float],
    mfd: float = 100.0,
    experiment: str = "table2",
    joint: float = 0.9,
    rho: float = 0.1,
    epochs: int = 2,
    pooled: float | None = None,
) -> None:
    """A run a seed; ``cross`` is the accuracy of both directions of each."""
    for seed, accuracy in enumerate(cross):

        def measured(
            given: str, target: str, kind: str, value: float, distance: float | None
        ) -> Row:
            names = tuple(given.split())
            return Row(
                *(row, names, target, kind, value, None, 1.0),
                mfd_class=distance,
                mfd_pooled=distance if pooled is None or distance is None else pooled,
                n=9,
            )

        rows = (
            measured("label", "image", "cross", accuracy, mfd + seed),
            measured("image", "label", "cross", accuracy, None),
            measured("image", "image", "single", accuracy, mfd),
            measured("image label", "image", "joint", joint + 0.001 * seed, mfd),
        )
        run = {"dataset": "mnist", "epochs": epochs, "seed": seed}
        report = Report({}, {}, rows, runs={row: run | {"model": {"rho": rho}}})
        path = out / experiment / f"{row}_{seed}_{epochs}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(report.to_json())


FAMILIES = (
    "Not in the paper: cross-modality accuracy of Nexus is above that of every other "
    "family of models, correctly trained, with either number of levels"
)


def verdicts(path: Path, pooled: bool = False) -> dict[str, tuple[str, str]]:
    """Of each claim the verdict and the numbers, or what the pooled MFD says."""
    cells = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in path.read_text().splitlines()
        if line.startswith("| ")
    ]
    told = [line for line in cells if line[0] not in ("claim", "---")]
    if pooled:
        return {cells[0]: (cells[3], "") for cells in told}
    return {claim: (here, numbers) for claim, here, numbers, _ in told}


def test_a_difference_counts_beyond_the_seeds_noise(
    claims: ModuleType, tmp_path: Path
) -> None:
    write(tmp_path, "nexus_2", [0.80, 0.81, 0.82])
    write(tmp_path, "mvae_1", [0.20, 0.21, 0.22], mfd=120)
    write(tmp_path, "mmvae_1", [0.805, 0.815, 0.825], mfd=90)
    found = verdicts(claims.write_claims(tmp_path))
    here, numbers = found["Single-level MVAE: cross-modality accuracy is low"]
    assert here == "confirmed"
    assert numbers == (
        "cross accuracy: Nexus, 2 levels 81.0 ± 1.0 against MVAE, 1 level 21.0 ± 1.0"
    )
    mfd = found["Single-level MVAE: its MFD is lower than that of Nexus"]
    assert mfd[0] == "contradicted"
    above = found[FAMILIES]
    assert above[0] == "not confirmed" and "MMVAE, 1 level 81.5" in above[1]
    highest = found["MMVAE (single level) has the highest MFD"]
    assert highest[0] == "contradicted"


def test_a_difference_of_one_noise_is_none(claims: ModuleType, tmp_path: Path) -> None:
    """1.5 points apart with deviations of 1: more than one of both together, 1.41."""
    write(tmp_path, "nexus_2", [0.800, 0.810, 0.820])
    write(tmp_path, "mvae_1", [0.785, 0.795, 0.805])
    claim = "Single-level MVAE: cross-modality accuracy is low"
    assert verdicts(claims.write_claims(tmp_path))[claim][0] == "not confirmed"


def test_both_kinds_of_mfd_are_heard(claims: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "nexus_2", [0.80, 0.81, 0.82], mfd=100, pooled=60)
    write(tmp_path, "mvae_1", [0.20, 0.21, 0.22], mfd=120, pooled=40)
    path = claims.write_claims(tmp_path)
    claim = "Single-level MVAE: its MFD is lower than that of Nexus"
    assert verdicts(path)[claim][0] == "contradicted"
    assert verdicts(path, pooled=True)[claim][0].startswith("confirmed: MFD: Nexus")
    unaffected = "Single-level MVAE: cross-modality accuracy is low"
    assert verdicts(path, pooled=True)[unaffected][0] == ""


def test_runs_of_other_lengths_are_not_mixed(
    claims: ModuleType, tmp_path: Path
) -> None:
    write(tmp_path, "nexus_2", [0.80, 0.81, 0.82])
    write(tmp_path, "mvae_1", [0.20, 0.21, 0.22])
    write(tmp_path, "mvae_1", [0.90, 0.91], epochs=4)
    path = claims.write_claims(tmp_path)
    here, numbers = verdicts(path)["Single-level MVAE: cross-modality accuracy is low"]
    assert here == "confirmed" and numbers.endswith("MVAE, 1 level 21.0 ± 1.0")
    assert "## mnist, 2 epochs\n" in path.read_text()


def test_what_the_paper_says_of_mmvae_depends_on_the_dataset(
    claims: ModuleType,
) -> None:
    said = {name: " ".join(found) for name, found in claims.OF_DATASET.items()}
    assert "Nexus is above MMVAE" in said["mnist"]
    assert "MMVAE (single level) is above Nexus" in said["fashion_mnist"]


def test_what_was_not_measured_is_open(claims: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "nexus_2", [0.8, 0.8, 0.8])
    write(tmp_path, "mvae_1", [0.2])  # one seed says nothing about noise
    found = verdicts(claims.write_claims(tmp_path))
    assert {here for here, _ in found.values()} == {"open"}


def test_concatenation_does_as_well_within_two_points(
    claims: ModuleType, tmp_path: Path
) -> None:
    claim = "With two modalities concatenation (Nexus-0) does as well as the mean"
    write(tmp_path, "nexus_2", [0.80, 0.80, 0.80])
    write(tmp_path, "nexus0_2", [0.815, 0.815, 0.815])
    assert verdicts(claims.write_claims(tmp_path))[claim][0] == "confirmed"
    write(tmp_path, "nexus0_2", [0.60, 0.61, 0.62])
    assert verdicts(claims.write_claims(tmp_path))[claim][0] == "contradicted"
    for noisy in ([0.60, 0.75, 0.90], [0.65, 0.80, 0.95]):  # too much so to tell
        write(tmp_path, "nexus0_2", noisy)
        assert verdicts(claims.write_claims(tmp_path))[claim][0] == "not confirmed"
    write(tmp_path, "nexus0_2", [0.90, 0.91, 0.92])  # better is as well
    assert verdicts(claims.write_claims(tmp_path))[claim][0] == "confirmed"


def test_one_seed_each_tells_of_no_likeness(claims: ModuleType, tmp_path: Path) -> None:
    claim = "With two modalities concatenation (Nexus-0) does as well as the mean"
    write(tmp_path, "nexus_2", [0.80])
    for other in (0.30, 0.81):
        write(tmp_path, "nexus0_2", [other])
        assert verdicts(claims.write_claims(tmp_path))[claim][0] == "open"


def test_a_rival_of_one_seed_unsettles_no_verdict(
    claims: ModuleType, tmp_path: Path
) -> None:
    write(tmp_path, "nexus_2", [0.80, 0.81, 0.82])
    write(tmp_path, "mmvae_1", [0.90, 0.91, 0.92])
    write(tmp_path, "mopoe_2", [0.95])
    write(tmp_path, "mmvae_plus_64", [0.97, 0.97, 0.98])  # not on Nexus's bottoms
    here, numbers = verdicts(claims.write_claims(tmp_path))[FAMILIES]
    assert here == "contradicted" and "MMVAE, 1 level" in numbers
    write(tmp_path, "mvae_2", [0.80, 0.95, 0.99])  # a noisy rival hides no clear one
    assert verdicts(claims.write_claims(tmp_path))[FAMILIES][0] == "contradicted"


def test_nexus_is_above_all_only_when_all_were_measured(
    claims: ModuleType, tmp_path: Path
) -> None:
    families = ("mvae", "mmvae", *claims.NEWER, "vae")
    write(tmp_path, "nexus_2", [0.80, 0.81, 0.82])
    for family in families[1:]:
        write(tmp_path, f"{family}_2", [0.20, 0.21, 0.22])
    assert verdicts(claims.write_claims(tmp_path))[FAMILIES][0] == "open"
    write(tmp_path, "mvae_2", [0.20])
    assert verdicts(claims.write_claims(tmp_path))[FAMILIES][0] == "open"
    write(tmp_path, "mvae_2", [0.20, 0.21])
    assert verdicts(claims.write_claims(tmp_path))[FAMILIES][0] == "confirmed"


def test_the_papers_own_figures_contradict_none_of_its_claims(
    claims: ModuleType, module_of: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    published = module_of("paper_groups").published("table1")
    for row, figures in published["mhd_image_label"].items():
        cross, mfd = figures["cross"][0] / 100, figures["mfd"][0]
        seeds = [cross - 0.003, cross, cross + 0.003]
        write(tmp_path, row, seeds, mfd, "table1")
    found = verdicts(claims.write_claims(tmp_path))
    told = {claim: found[claim][0] for claim in claims.CLAIMS}
    assert "contradicted" not in told.values(), told
    assert list(told.values()).count("confirmed") >= 6, told


def test_who_is_as_accurate_must_have_a_higher_mfd(
    claims: ModuleType, tmp_path: Path
) -> None:
    (claim,) = [each for each in claims.CLAIMS if each.startswith("Neither MVAE")]
    write(tmp_path, "nexus_2", [0.80, 0.81, 0.82], mfd=100)
    write(tmp_path, "mvae_1", [0.20, 0.21, 0.22], mfd=50)
    write(tmp_path, "mmvae_1", [0.90, 0.91, 0.92], mfd=200)
    assert verdicts(claims.write_claims(tmp_path))[claim][0] == "confirmed"
    write(tmp_path, "mmvae_1", [0.90, 0.91, 0.92], mfd=50)
    assert verdicts(claims.write_claims(tmp_path))[claim][0] == "contradicted"


def test_claims_about_rho(claims: ModuleType, tmp_path: Path) -> None:
    for rho, cross, mfd, joint in (
        (0.0, 0.5, 70, 0.9),
        (0.05, 0.8, 80, 0.9),
        (0.1, 0.8, 85, 0.9),
        (0.2, 0.8, 90, 0.9),
        (0.4, 0.8, 90, 0.9),
        (0.6, 0.8, 95, 0.9),
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
    write(tmp_path, "rho0", [0.5, 0.51, 0.52], 300, "fig_a21", 0.9, 0.0)
    found = verdicts(claims.write_claims(tmp_path))
    assert found["A larger rho raises the MFD, from 0 to 0.05"][0] == "contradicted"
    flat = "Joint accuracy is flat below rho 1, and drops there"
    write(tmp_path, "rho0.4", [0.8, 0.81, 0.82], 90, "fig_a21", 0.7, 0.4)
    found = verdicts(claims.write_claims(tmp_path))
    assert found[flat][0] == "contradicted" and "rho 0.4 70.1" in found[flat][1]


def write_four(
    out: Path, row: str, accuracy: dict[int, float], mfd: dict[int, float]
) -> None:
    """Three seeds of a row; both measures by the number of given modalities."""
    names = ("image", "trajectory", "sound", "label")
    for seed in range(3):
        rows = []
        for target in names:
            for given in subsets([name for name in names if name != target]):
                count = len(given)
                value = accuracy[count] + 0.001 * seed
                distance = None if target == "label" else mfd[count] + seed
                rows.append(
                    Row(row, given, target, "cross", value, None, 1.0, distance)
                )
        run = {"dataset": "mhd", "epochs": 2, "seed": seed}
        path = out / "table3" / f"{row}_{seed}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(Report({}, {}, tuple(rows), runs={row: run}).to_json())


def test_claims_about_four_modalities(claims: ModuleType, tmp_path: Path) -> None:
    mfds = {1: 200.0, 2: 150.0, 3: 80.0}
    write_four(tmp_path, "nexus_2", {1: 0.8, 2: 0.9, 3: 0.95}, mfds)
    found = verdicts(claims.write_claims(tmp_path))
    rises = found["Nexus: accuracy rises from one to three given modalities"]
    assert rises[0] == "confirmed"
    assert rises[1].startswith("image 95.1 ± 0.1 against 80.1 ± 0.1; trajectory ")
    falls = found["Nexus: MFD falls from one to three given modalities"]
    assert falls[0] == "confirmed" and "label" not in falls[1]
    rest = set(claims.FOUR_CLAIMS) - {
        "Nexus: accuracy rises from one to three given modalities",
        "Nexus: MFD falls from one to three given modalities",
    }
    assert {found[claim][0] for claim in rest} == {"open"}
    write_four(tmp_path, "nexus0_2", {1: 0.5, 2: 0.8, 3: 0.95}, mfds)
    write_four(tmp_path, "mvae_2", dict.fromkeys(mfds, 0.3), dict.fromkeys(mfds, 90.0))
    write_four(tmp_path, "mmvae_2", dict.fromkeys(mfds, 0.9), mfds)
    found = verdicts(claims.write_claims(tmp_path))
    assert {claim: found[claim][0] for claim in rest} == {
        "One given: the mean is above concatenation (Nexus-0)": "confirmed",
        "One given: Nexus is above MVAE": "confirmed",
        "Not in the paper: one given, Nexus is above an MMVAE with every expert "
        "trained": "contradicted",
        "Not in the paper: three given, Nexus is above such an MMVAE": "confirmed",
        "Nexus has the lowest MFD of images": "contradicted",
        "One given: trajectories and sounds of MVAE have a lower MFD than those of "
        "Nexus": "confirmed",
    }


def test_any_model_may_have_images_of_lower_mfd(
    claims: ModuleType, tmp_path: Path
) -> None:
    high, low = ({1: value, 2: value, 3: value} for value in (200.0, 100.0))
    for row in ("nexus0_2", "mvae_2", "mmvae_2"):
        write_four(tmp_path, row, dict.fromkeys(high, 0.5), high)
    write_four(tmp_path, "nexus_2", dict.fromkeys(low, 0.5), low)
    claim = "Nexus has the lowest MFD of images"
    assert verdicts(claims.write_claims(tmp_path))[claim][0] == "confirmed"
    write_four(tmp_path, "mopoe_2", dict.fromkeys(low, 0.5), dict.fromkeys(low, 50.0))
    assert verdicts(claims.write_claims(tmp_path))[claim][0] == "contradicted"


def test_table_1_is_tested_with_its_dataset(claims: ModuleType, tmp_path: Path) -> None:
    write(tmp_path, "nexus_2", [0.8, 0.8, 0.8], mfd=100, experiment="table1")
    write(tmp_path, "nexus_1", [0.8, 0.8, 0.8], mfd=150, experiment="table1")
    found = verdicts(claims.write_claims(tmp_path))
    assert found["A second level lowers the MFD of Nexus"][0] == "confirmed"
