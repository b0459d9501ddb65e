"""The command line that trains and measures the models of the paper's tables."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from script_runs import Finished, Script, error_line, read, wait_until

from nexus_rl import UserError
from nexus_rl.cmi import Report

SCRIPT = "reproduce_paper.py"
SMALL = [
    *("--dataset", "tiny", "--rows", "nexus_2", "nexus0_2", "mvae_1", "--seeds", "2"),
    *("--epochs", "2", "--samples", "2", "--device", "cpu"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where table2 of a tiny dataset was made, judges and models included."""
    folder = tmp_path_factory.mktemp("paper")
    done = run(folder, "table2", *SMALL)
    assert done.code == 0, done.said
    return folder


def run(folder: Path, *arguments: object) -> Finished:
    return start(folder, *arguments).finish(120)


def start(folder: Path, *arguments: object) -> Script:
    return Script(SCRIPT, [*arguments, "--cache", "cache"], folder)


def copy(made: Path, folder: Path, *names: str) -> None:
    for name in names:
        shutil.copytree(made / name, folder / name)


def test_every_run_leaves_a_report_and_the_table_is_made_of_them(made: Path) -> None:
    reports = {p.stem: p.read_text() for p in (made / "results/table2").iterdir()}
    assert sorted(reports) == [
        f"tiny_{row}_seed{seed}_epochs2"
        for row in ("mvae_1", "nexus0_2", "nexus_2")
        for seed in (0, 1)
    ]
    report = Report.from_json(reports["tiny_nexus_2_seed1_epochs2"])
    assert report.models == ("nexus_2",)
    assert report.runs["nexus_2"]["seed"] == 1
    assert report.runs["nexus_2"]["train"]["epochs"] == 2
    assert [point.what for point in report.frontier] == [
        *("mean", "noise 0.5", "noise 1", "bottom", "bottom, others"),
        *("class Gaussian", "real"),
    ]
    single = Report.from_json(reports["tiny_mvae_1_seed0_epochs2"])
    assert single.runs["mvae_1"]["model"]["latent_dim"] == 64  # as the paper says
    assert [point.what for point in single.frontier] == ["mean", "real"]

    page = (made / "results/table2.md").read_text()
    first = Report.from_json(reports["tiny_nexus_2_seed0_epochs2"])
    accuracies = [
        row.accuracy
        for each in (first, report)
        for row in each.rows
        if row.kind == "joint"
    ]
    mean = sum(accuracies) / len(accuracies)
    (line,) = [
        x for x in page.splitlines() if x.startswith("| Nexus, 2 levels | 16 | 2")
    ]
    assert f"| {100 * mean:.1f} ± " in line
    (record,) = [
        each for each in read(made / "results/table2.json") if each["row"] == "nexus_2"
    ]
    joint = {each["kind"]: each["accuracy"] for each in record["kinds"]}["joint"]
    assert joint["mean"] == pytest.approx(mean)
    assert record["seeds"] == [0, 1]
    for name in ("table2.png", "table2_frontier.png"):
        assert (made / "results" / name).read_bytes().startswith(b"\x89PNG")
        assert f"]({name})" in page


def test_two_level_models_of_a_seed_stand_on_the_same_bottoms(made: Path) -> None:
    bottoms = sorted(path.name for path in (made / "runs/paper/bottoms").iterdir())
    names = [name.rpartition("_")[0] for name in bottoms]
    assert names == [f"tiny_seed{seed}_epochs2" for seed in (0, 1)]


def test_pictures_are_drawn_by_the_models_that_are_there(
    made: Path, tmp_path: Path
) -> None:
    copy(made, tmp_path, "runs")
    log = tmp_path / "runs/paper/tiny_mvae_1_seed0_epochs2/log.jsonl"
    before = log.stat().st_mtime_ns
    done = run(tmp_path, "pictures", *SMALL, "--seeds", "1")
    assert done.code == 0, done.said
    assert log.stat().st_mtime_ns == before
    for name in ("labels_tiny.png", "levels_tiny.png"):
        assert (tmp_path / "results" / name).read_bytes().startswith(b"\x89PNG")
        assert f"results/{name}" in done.said


def test_what_is_there_is_not_made_again_and_pages_are(
    made: Path, tmp_path: Path
) -> None:
    copy(made, tmp_path, "results")  # neither models nor judges
    (tmp_path / "results/table2.md").unlink()
    done = run(tmp_path, "table2", *SMALL)
    assert done.code == 0, done.said
    assert not (tmp_path / "runs").exists() and not (tmp_path / "cache").exists()
    for name in ("table2.md", "table2.json"):
        expected = (made / "results" / name).read_bytes()
        assert (tmp_path / "results" / name).read_bytes() == expected


def edit(path: Path, there: str, other: str) -> None:
    """Changes a result as if it had been written so, before there were checksums."""
    written = path.read_text()
    assert there in written
    content = json.loads(written.replace(there, other))
    del content["content_sha256"]
    path.write_text(json.dumps(content))


def test_a_result_of_other_settings_is_not_taken(made: Path, tmp_path: Path) -> None:
    copy(made, tmp_path, "results")
    wanted = [*SMALL[:-3], "3", *SMALL[-2:]]
    assert SMALL[-4:-2] == ["--samples", "2"]
    error = error_line(run(tmp_path, "table2", *wanted))
    assert "made with samples 2, not 3: delete it, or choose" in error
    path = tmp_path / "results/table2/tiny_nexus_2_seed1_epochs2.json"
    edit(path, '"rho": 0.1', '"rho": 0.3')
    error = error_line(run(tmp_path, "table2", *SMALL))
    assert f"{path.name} was made with model.rho 0.3, not 0.1" in error


@pytest.mark.parametrize(
    ("there", "other"),
    [
        ('"classifier_epochs": 20', '"classifier_epochs": 21'),
        ('"items": ', '"items": 9'),
    ],
)
def test_results_that_do_not_compare_make_no_table(
    made: Path, tmp_path: Path, there: str, other: str
) -> None:
    copy(made, tmp_path, "results")
    path = tmp_path / "results/table2/tiny_nexus_2_seed1_epochs2.json"
    edit(path, there, other)
    error = error_line(run(tmp_path, "table2", *SMALL))
    assert f"{path.name} and " in error and "cannot stand in one table" in error


def test_an_interrupted_run_goes_on_and_ends_with_the_same_numbers(
    made: Path, tmp_path: Path
) -> None:
    copy(made, tmp_path, "cache")
    begun = start(tmp_path, "table2", *SMALL)
    log = tmp_path / "runs/paper/tiny_mvae_1_seed0_epochs2/log.jsonl"
    wait_until(lambda: log.exists() and log.read_text())
    begun.send(signal.SIGKILL)
    begun.finish()
    there = list((tmp_path / "results/table2").iterdir())
    assert 0 < len(there) < 6
    done = run(tmp_path, "table2", *SMALL)
    assert done.code == 0, done.said
    for path in (made / "results/table2").iterdir():
        assert (tmp_path / "results/table2" / path.name).read_text() == path.read_text()


def note(item: int, folder: Path) -> None:
    """A step that two processes can share; needs the note of the item's half."""
    if item < 0:
        raise UserError(f"{item} is negative")
    assert item < 2 or (folder / f"{item // 2}").exists()
    (folder / f"{item}").write_text(str(os.getpid()))


@pytest.mark.parametrize("processes", [1, 2])
def test_jobs_come_after_what_they_need(
    processes: int, tmp_path: Path, module_of: Callable[[str], ModuleType]
) -> None:
    jobs = module_of("paper_jobs")

    def job(item: int) -> Any:
        then = tuple(job(k) for k in (2 * item, 2 * item + 1) if k < 12)
        return jobs.Job(note, item, then)

    jobs.run_jobs([job(1)], tmp_path, processes, "notes")
    assert sorted(int(path.name) for path in tmp_path.iterdir()) == [*range(1, 12)]
    workers = {path.read_text() for path in tmp_path.iterdir()}
    assert (str(os.getpid()) in workers) == (processes == 1)
    with pytest.raises(UserError, match="-1 is negative"):
        jobs.run_jobs([jobs.Job(note, -1)], tmp_path, processes, "notes")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["table4"], "unknown experiment 'table4'. Did you mean 'table"),
        (["table2", "--rows", "mvae"], "unknown row 'mvae': expected MODEL_LEVELS"),
        (["table2", "--rows", "mvea_2"], "unknown model 'mvea'. Did you mean 'mvae'"),
        (["table2", "--rows", "gmc_1"], "unknown model 'gmc'"),
        (["fig_a21", "--rows", "mvae_2"], "fig_a21 is about Nexus alone"),
        (["ablation", "--rows", "mvae_2"], "ablation is about nexus_plus alone"),
        (["table2", "--dataset", "mnst"], "unknown dataset 'mnst'"),
        (["table2", "--seeds", "0"], "seeds must be at least 1"),
        (["table2", "--jobs", "0"], "jobs must be at least 1"),
        (["table2", "--samples", "0"], "samples must be at least 1"),
    ],
)
def test_mistakes_are_one_line_before_anything_is_made(
    arguments: list[str], message: str, tmp_path: Path
) -> None:
    assert message in error_line(run(tmp_path, *arguments))
    assert not (tmp_path / "runs").exists() and not (tmp_path / "results").exists()


def test_ablation_changes_one_thing_at_a_time(made: Path, tmp_path: Path) -> None:
    copy(made, tmp_path, "cache")
    few = ["--seeds", "1", "--epochs", "1", "--samples", "2", "--device", "cpu"]
    done = run(tmp_path, "ablation", "--dataset", "tiny", *few)
    assert done.code == 0, done.said
    found = {}
    for path in (tmp_path / "results/ablation").iterdir():
        ((row, told),) = Report.from_json(path.read_text()).runs.items()
        found[row] = {**told["model"], **told["sensors"]}
    plus = found.pop("nexus_plus")
    assert len(found) == 6
    for other in found.values():
        changed = {k for k in plus.keys() | other if plus.get(k) != other.get(k)}
        assert len(changed) == 1
    page = (tmp_path / "results/ablation.md").read_text()
    assert "| Nexus+ | 16 | 1 | 1 |" in page and "| without alignment | 16 |" in page
    assert len(list((tmp_path / "runs/paper/bottoms").iterdir())) == 2
