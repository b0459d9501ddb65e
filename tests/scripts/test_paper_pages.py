"""Pages of MHD's tables: the paper's rows, the data, and remarks on models."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from quoting import RESULTS


@pytest.fixture
def pages(module_of: Callable[[str], ModuleType]) -> ModuleType:
    return module_of("paper_pages")


def copy(out: Path, source: str, experiment: str, dataset: str, **told: Any) -> None:
    """Committed runs of ``source``, as if they were of ``dataset``."""
    (out / experiment).mkdir(parents=True, exist_ok=True)
    found = sorted(RESULTS.glob(f"{source}.json"))
    assert found
    for path in found:
        report = json.loads(path.read_text())
        (run,) = report["runs"].values()
        run |= {"dataset": dataset, **told}
        (out / experiment / f"{dataset}_{path.name}").write_text(json.dumps(report))


def data(**sides: Any) -> dict[str, Any]:
    """The origin of a built MHD."""
    return {
        "kind": "built",
        "strokes": {"exemplars": 817, "writers": 52},
        "sounds": {"fsdd": {"recordings": 3000, "speakers": 6}},
        "options": {"split": "disjoint"},
        "sides": {
            "test": {
                **{"exemplars": 100, "writers": 9},
                **{"recordings": 557, "speakers": 19},
            },
            "known": dict.fromkeys(
                ("exemplars", "writers", "recordings", "speakers"), 0.25
            ),
            **sides,
        },
    }


def test_every_split_has_its_part_and_the_papers_has_the_papers_rows(
    pages: ModuleType, tmp_path: Path
) -> None:
    copy(tmp_path, "table3/mhd_[mn]*_seed0_*", "table3", "mhd")
    people = {"exemplars": 2, "writers": 1, "recordings": 50, "speakers": 3}
    largest = {"writers": 0.1, "speakers": 0.92}
    unseen = data(fewest=people, largest=largest)
    copy(tmp_path, "table3/mhd_[mn]*_seed0_*", "table3", "mhd_disjoint", data=unseen)
    _, page, _ = pages.write_pages("table3", tmp_path)
    head = "## mhd_disjoint: no writer and no speaker"
    paper, disjoint = page.read_text().split(head)
    assert "*84.9 ± 12.4*" in paper and ", paper*" not in disjoint
    for part in (paper, disjoint):
        assert "MMVAE, mmJSD and AVAE see one" in part
        assert "The data were built here" in part
    assert "training has other variations of 25 % of them" in disjoint
    assert "at least 50 recordings of 3 speakers, and one speaker has 92 %" in disjoint
    assert "lower rank than its 512 features" in disjoint


def test_image_and_label_of_mhd_say_whose_digits_they_are(
    pages: ModuleType, tmp_path: Path
) -> None:
    runs = "table2/mnist_*_[12]_seed0_*"
    copy(tmp_path, runs, "table1", "mhd_image_label", data=data())
    record, page, _ = pages.write_pages("table1", tmp_path)
    said = page.read_text()
    assert "*93.4 ± 5.3*" in said and "*16.5 ± 4.1 †*" in said
    assert "†: printed without decimal points" in said
    assert "817 handwritten digits of 52 writers" in said and "speaker" not in said
    assert {each["data"]["kind"] for each in json.loads(record.read_text())} == {
        "built"
    }


def test_the_authors_own_data_are_called_so(pages: ModuleType, tmp_path: Path) -> None:
    own = {"kind": "official"}
    copy(tmp_path, "table3/mhd_[mn]*_seed0_*", "table3", "mhd", data=own)
    _, page, _ = pages.write_pages("table3", tmp_path)
    assert "The data are the authors' own files, converted." in page.read_text()
