"""Numbers in the README are those of the committed results."""

from __future__ import annotations

from itertools import dropwhile, takewhile
from pathlib import Path

ROOT = Path(__file__).parents[1]
COLUMNS = {"all sensors": "everything", "random dropout": "bernoulli"}


def tables(path: Path, head: str) -> list[dict[str, str]]:
    """The rows of the first table below ``head``, by column."""
    lines = path.read_text().split(head, 1)[1].splitlines()
    below = dropwhile(lambda line: not line.startswith("|"), lines)
    table = takewhile(lambda line: line.startswith("|"), below)
    names, _, *rows = (
        [c.strip() for c in line.strip("|").split("|")] for line in table
    )
    return [dict(zip(names, row, strict=True)) for row in rows]


def test_scores_of_agents() -> None:
    page = ROOT / "results" / "agents_pendulum.md"
    known = {row["agent"]: row for row in tables(page, "## Scores by the way")}
    told = tables(ROOT / "README.md", "between random actions")
    assert len(told) == 6
    for row in told:
        theirs = known[row.pop("agent")]
        for name, score in row.items():
            column = COLUMNS.get(name, name.replace(" ", "_"))
            assert theirs[column].split()[0] == score


def test_accuracies_of_the_better_preset() -> None:
    page = ROOT / "results" / "table2.md"
    known = {row["model"]: row for row in tables(page, "## fashion_mnist")}
    said = (ROOT / "README.md").read_text()
    better, paper = (
        known[n]["cross"].split()[0] for n in ("Nexus+", "Nexus, 2 levels")
    )
    assert f"in {better} % instead of {paper} %" in said
