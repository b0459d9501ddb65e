"""Scores of agents and their learning, from JSON written by hand."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from agents_world import ORACLE, RANDOM, Agents, write

from agents.scores import estimate
from nexus_rl import UserError


def test_scores_are_0_for_random_and_1_for_the_oracle(agents: Agents) -> None:
    # The references are means over their seeds.
    agents.write("oracle", {"everything": 0.5}, {"everything": 1.5})
    agents.write("raw", {"rest": 0.25, "no_image": 0.75}, {"rest": 0.5})
    found = agents.read()
    assert (found.random, found.oracle) == (RANDOM, ORACLE)
    assert [found.normalised(x) for x in (RANDOM, -600.0, ORACLE)] == [0, 0.5, 1]
    assert found.values("raw", ["everything"]) == [0.25, 0.5]
    both = ["everything", "no_image"]
    assert found.values("raw", both) == [0.5, 0.5]
    assert found.score("raw", both) == estimate([0.5, 0.5])
    assert found.score("oracle", ["everything"]) == estimate([0.5, 1.5])


def test_scores_that_were_not_measured_in_all(agents: Agents) -> None:
    agents.write("raw", 0.5, {"everything": 0.5})
    found = agents.read()
    for row, conditions in (
        *(("raw", ["no_image"]), ("raw", []), ("oracle", ["no_image"])),
        *(("nexus", ["everything"]), ("random", ["everything"])),
    ):
        assert found.values(row, conditions) == []
        assert found.score(row, conditions) is None
    assert found.group("missing", "blackout") == ["no_image", "no_sound", "blackout_5"]


def test_rows_and_seeds_come_in_the_order_of_the_experiment(agents: Agents) -> None:
    agents.write("nexus", *[0.5] * 11)
    agents.write("raw", 0.5)
    found = agents.read()
    assert list(found.titles) == ["oracle", "raw", "nexus"]
    seeds = [f"nexus_seed{k}" for k in range(11)]
    assert list(found.evaluation.methods["nexus"]) == seeds
    assert [run["seed"] for run in found.runs["nexus"]] == [*range(11)]
    core = found.only(["nexus"])
    assert set(core.methods) == {"oracle", "nexus", "random"}
    assert core.agents == ("oracle_seed0", *seeds, "random_seed0")


def test_what_was_there_is_told_once_where_it_is_the_same(agents: Agents) -> None:
    expand = agents.modules["scores"].expand
    run = json.loads((agents.folder / "oracle_seed0.json").read_text())
    everything = run["conditions"]["everything"]
    rows = expand("oracle", run)
    assert [row["return"] for row in rows] == everything["return"]
    assert [row["available"] for row in rows] == [{"image": 1.0}] * 2
    everything["available"] = [{"image": 1.0}, {"image": 0.5}]
    assert [row["available"] for row in expand("a", run)] == everything["available"]


def test_runs_that_do_not_compare_are_refused(agents: Agents) -> None:
    write(agents.folder, "raw", 0.5, episodes=3)
    with pytest.raises(UserError, match=r"do not compare: episodes is 2 .* but 3"):
        agents.read()
    write(agents.folder, "raw", 0.5, env_kwargs={"image_size": 16})
    with pytest.raises(UserError, match="do not compare: env_kwargs"):
        agents.read()
    agents.write("raw", 0.5, 0.5)
    write(agents.folder, "raw", 0.5, steps=1)
    with pytest.raises(
        UserError, match="runs of raw do not compare: steps is 1 in one and None"
    ):
        agents.read()
    for path in agents.folder.glob("raw_seed*.json"):
        path.unlink()
    for epochs in (20, 60):
        told = {"encoder_training": {"train": {"epochs": epochs, "seed": epochs}}}
        write(agents.folder, "gmc", 0.5, **told)
        (agents.folder / "gmc_seed0.json").rename(
            agents.folder / f"gmc_seed{epochs}.json"
        )
    with pytest.raises(UserError, match="runs of gmc do not compare: encoder_training"):
        agents.read()
    for path in agents.folder.glob("gmc_seed*.json"):
        path.unlink()
    agents.write("rwa", 0.5)
    with pytest.raises(UserError, match=r"unknown agent in .* 'rwa'\. Did you mean"):
        agents.read()


def test_an_oracle_below_random_scores_nothing(agents: Agents) -> None:
    agents.write("oracle", {"everything": -0.5})
    with pytest.raises(UserError, match="the oracle's return -1400 is not above"):
        agents.read().normalised(0.0)


def test_the_steps_to_the_oracle_are_those_of_all_seeds(agents: Agents) -> None:
    def curve(*scores: float) -> list[dict[str, Any]]:
        """What it scores after 10, 20, ... steps."""
        return [
            {
                **{"steps": 10 * place, "condition": "everything"},
                "return": RANDOM + score * (ORACLE - RANDOM),
            }
            for place, score in enumerate(scores, 1)
        ]

    told = {"steps": 40, "like": ""}
    for row in ("random", "oracle"):
        write(agents.folder, row, 0.0 if row == "random" else 1.0, **told, seconds=1)
    for row, late in (("raw", 0.95), ("nexus", 0.85)):
        quick = curve(0.5, 0.9, 0.9)
        write(agents.folder, row, 0.8, 0.8, **told, seconds=8, progress=quick)
        path = agents.folder / f"{row}_seed1.json"
        # Lucky once, and then for good, or not.
        slow = {"seconds": 10, "progress": curve(0.95, 0.2, 0.8, late, 1.0)}
        path.write_text(json.dumps(json.loads(path.read_text()) | slow))
    for path in agents.folder.glob("oracle*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"progress": []}))
    pages = importlib.import_module("agent_pages")
    table = pages.learning_table(agents.read()).splitlines()[2:]
    assert table == [
        "| true state | 40 | 1 | 40 | – | – | 0 of 1 |",
        "| raw, zeros for missing | 40 | 8 | 5 | 30 | 6 | 2 of 2 |",
        "| Nexus | 40 | 8 | 5 | – | – | 1 of 2 |",
    ]
