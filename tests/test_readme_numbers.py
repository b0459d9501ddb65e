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
