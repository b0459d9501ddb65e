"""Scores and verdicts on agents, from JSON written by hand."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from script_runs import SCRIPTS

from agents.scores import estimate
from nexus_rl import UserError

GROUPS = {
    **{"everything": "everything", "no_image": "missing", "no_sound": "missing"},
    **{"bernoulli_50": "bernoulli", "bursts_long": "bursts"},
    **{"window_image_20_25": "windows", "blackout_5": "blackout"},
    **{"lie_image_2": "corruption", "lie_image_3": "corruption"},
}
RANDOM, ORACLE = -1000.0, -200.0


@pytest.fixture
def modules(monkeypatch: pytest.MonkeyPatch) -> dict[str, ModuleType]:
    monkeypatch.syspath_prepend(SCRIPTS)
    names = ("rows", "scores", "claims")
    return {name: importlib.import_module(f"agent_{name}") for name in names}


def write(
    folder: Path, row: str, *scores: float | Mapping[str, float], **other: Any
) -> None:
    """A run a seed: its score in all conditions, or in some with ``rest`` in others."""
    for seed, score in enumerate(scores):
        by_name = {"rest": score} if isinstance(score, float) else score
        conditions = {}
        for name, group in GROUPS.items():
            value = by_name.get(name, by_name.get("rest"))
            if value is not None:
                mean = RANDOM + value * (ORACLE - RANDOM)
                conditions[name] = {
                    **{"group": group, "return": [mean - 5, mean + 5]},
                    **{"length": [200, 200], "available": [{"image": 1.0}]},
                }
        run = {
            **{"row": row, "seed": seed, "env": "x", "env_kwargs": {}, "episodes": 2},
            **{"conditions": conditions, **other},
        }
        folder.mkdir(exist_ok=True)
        (folder / f"{row}_seed{seed}.json").write_text(json.dumps(run))


class World:
    """Runs in a folder, and what is made of them."""

    def __init__(self, folder: Path, modules: dict[str, ModuleType]) -> None:
        self.folder, self.modules = folder / "agents", modules
        self.plan = modules["rows"].EXPERIMENTS["pendulum"]
        write(self.folder, "random", {"everything": 0.0})
        write(self.folder, "oracle", {"everything": 1.0})

    def write(self, row: str, *scores: float | Mapping[str, float]) -> None:
        write(self.folder, row, *scores)

    def read(self) -> Any:
        return self.modules["scores"].read_measured(self.folder, self.plan)

    def verdict(self, test: str) -> tuple[str, str]:
        found: tuple[str, str] = getattr(self.modules["claims"], test)(self.read())
        return found


@pytest.fixture
def world(tmp_path: Path, modules: dict[str, ModuleType]) -> World:
    return World(tmp_path, modules)


# -- Scores ----------------------------------------------------------------------


def test_scores_are_0_for_random_and_1_for_the_oracle(world: World) -> None:
    # The references are means over their seeds.
    world.write("oracle", {"everything": 0.5}, {"everything": 1.5})
    world.write("raw", {"rest": 0.25, "no_image": 0.75}, {"rest": 0.5})
    found = world.read()
    assert (found.random, found.oracle) == (RANDOM, ORACLE)
    assert [found.normalised(x) for x in (RANDOM, -600.0, ORACLE)] == [0, 0.5, 1]
    assert found.values("raw", ["everything"]) == [0.25, 0.5]
    both = ["everything", "no_image"]
    assert found.values("raw", both) == [0.5, 0.5]
    assert found.score("raw", both) == estimate([0.5, 0.5])
    assert found.score("oracle", ["everything"]) == estimate([0.5, 1.5])


def test_scores_that_were_not_measured_in_all(world: World) -> None:
    world.write("raw", 0.5, {"everything": 0.5})
    found = world.read()
    for row, conditions in (
        *(("raw", ["no_image"]), ("raw", []), ("oracle", ["no_image"])),
        *(("nexus", ["everything"]), ("random", ["everything"])),
    ):
        assert found.values(row, conditions) == []
        assert found.score(row, conditions) is None
    assert found.group("missing", "blackout") == ["no_image", "no_sound", "blackout_5"]


def test_rows_and_seeds_come_in_the_order_of_the_experiment(world: World) -> None:
    world.write("nexus", *[0.5] * 11)
    world.write("raw", 0.5)
    found = world.read()
    assert list(found.titles) == ["oracle", "raw", "nexus"]
    seeds = [f"nexus_seed{k}" for k in range(11)]
    assert list(found.evaluation.methods["nexus"]) == seeds
    assert [run["seed"] for run in found.runs["nexus"]] == [*range(11)]
    core = found.only(["nexus"])
    assert set(core.methods) == {"oracle", "nexus", "random"}
    assert core.agents == ("oracle_seed0", *seeds, "random_seed0")


def test_what_was_there_is_told_once_where_it_is_the_same(world: World) -> None:
    expand = world.modules["scores"].expand
    run = json.loads((world.folder / "oracle_seed0.json").read_text())
    everything = run["conditions"]["everything"]
    rows = expand("oracle", run)
    assert [row["return"] for row in rows] == everything["return"]
    assert [row["available"] for row in rows] == [{"image": 1.0}] * 2
    everything["available"] = [{"image": 1.0}, {"image": 0.5}]
    assert [row["available"] for row in expand("a", run)] == everything["available"]


def test_runs_that_do_not_compare_are_refused(world: World) -> None:
    write(world.folder, "raw", 0.5, episodes=3)
    with pytest.raises(UserError, match=r"do not compare: episodes is 2 .* but 3"):
        world.read()
    write(world.folder, "raw", 0.5, env_kwargs={"image_size": 16})
    with pytest.raises(UserError, match="do not compare: env_kwargs"):
        world.read()
    world.write("raw", 0.5, 0.5)
    write(world.folder, "raw", 0.5, steps=1)
    with pytest.raises(
        UserError, match="runs of raw do not compare: steps is 1 in one and None"
    ):
        world.read()
    for path in world.folder.glob("raw_seed*.json"):
        path.unlink()
    for epochs in (20, 60):
        told = {"encoder_training": {"train": {"epochs": epochs, "seed": epochs}}}
        write(world.folder, "gmc", 0.5, **told)
        (world.folder / "gmc_seed0.json").rename(
            world.folder / f"gmc_seed{epochs}.json"
        )
    with pytest.raises(UserError, match="runs of gmc do not compare: encoder_training"):
        world.read()
    for path in world.folder.glob("gmc_seed*.json"):
        path.unlink()
    world.write("rwa", 0.5)
    with pytest.raises(UserError, match=r"unknown agent in .* 'rwa'\. Did you mean"):
        world.read()


def test_an_oracle_below_random_scores_nothing(world: World) -> None:
    world.write("oracle", {"everything": -0.5})
    with pytest.raises(UserError, match="the oracle's return -1400 is not above"):
        world.read().normalised(0.0)


# -- Hypotheses ------------------------------------------------------------------

ALL = ("complete", "lost", "worst", "schedules", "overall", "blackouts", "lies")
UNSEEN = ("bernoulli_50", "window_image_20_25", "blackout_5", "lie_image_3")


def test_nothing_is_claimed_of_what_was_not_measured(world: World) -> None:
    for test in world.modules["claims"].HYPOTHESES.values():
        assert test(world.read()) == ("open", "")
    for row in ("nexus", "nexus_dropout", "raw", "raw_dropout", "mvae", "mmvae"):
        world.write(row, {"everything": 0.9})  # and nothing else
    for test in ("lost", "worst", "schedules", "blackouts", "lies"):
        assert world.verdict(test) == ("open", "")


def test_with_all_sensors(world: World) -> None:
    world.write("raw", 0.8)
    world.write("nexus", 0.75, 0.75)
    assert world.verdict("complete")[0] == "open"
    world.write("raw_dropout", 0.7)
    verdict, numbers = world.verdict("complete")
    assert verdict == "confirmed" and numbers.startswith("Nexus 0.75, raw, zeros")
    world.write("raw_dropout", 1.0)  # the better of both counts
    assert world.verdict("complete")[0] == "not confirmed"


def test_with_a_sensor_gone(world: World) -> None:
    world.write("nexus", {"rest": 0.8, "no_image": 0.6, "no_sound": 0.56})
    assert world.verdict("lost")[0] == "open"
    world.write("raw", {"rest": 0.8, "no_image": 0.2, "no_sound": 0.24})
    verdict, numbers = world.verdict("lost")
    assert verdict == "confirmed"
    assert numbers.startswith("no_image: Nexus 0.75, raw, zeros for missing 0.25; no_")
    world.write("raw", {"rest": 0.8, "no_image": 0.2, "no_sound": 0.4})
    assert world.verdict("lost")[0] == "not confirmed"
    world.write("raw", {"rest": 0.8, "no_image": 0.2, "no_sound": 0.2})
    world.write("nexus", {"rest": 0.8, "no_image": 0.5})
    assert world.verdict("lost")[0] == "not confirmed"
    world.write("raw", -0.1)  # of which nothing can be kept
    verdict, numbers = world.verdict("lost")
    assert verdict == "open" and "no better than random" in numbers


def test_the_worst_missing_sensor(world: World) -> None:
    seeds = ({"rest": 0.9, "no_image": 0.61}, {"rest": 0.9, "no_image": 0.59})
    world.write("nexus", *seeds)
    for row in ("mvae", "mmvae"):
        world.write(row, *[{"rest": 1.0, "no_sound": 0.5}] * 2)
    assert world.verdict("worst")[0] == "open"
    world.write("nexus_plain", *[{"rest": 0.8, "no_sound": 0.1}] * 2)
    assert world.verdict("worst") == (
        "confirmed",
        "Nexus 0.60, MVAE 0.50, MMVAE 0.50, Nexus, without FPD and alignment 0.10",
    )
    world.write("mvae", 0.59, 0.59)
    assert world.verdict("worst")[0] == "too close"
    world.write("mvae", 0.7, 0.7)
    assert world.verdict("worst")[0] == "not confirmed"
    paper = partial(world.modules["claims"].worst, mine="nexus_fpd")
    assert paper(world.read())[0] == "open"
    world.write("nexus_fpd", 0.8, 0.81)
    assert paper(world.read())[0] == "confirmed"


def test_the_worst_missing_sensor_of_those_that_an_experiment_compares(
    world: World,
) -> None:
    for row in ("nexus", "mvae", "mmvae"):
        world.write(row, *[0.8 if row == "nexus" else 0.5] * 2)
    experiments = world.modules["rows"].EXPERIMENTS
    world.plan = experiments["digitdial"]  # has no Nexus without FPD
    assert world.verdict("worst") == (
        "confirmed",
        "Nexus 0.80, MVAE 0.50, MMVAE 0.50",
    )
    for path in world.folder.glob("m*vae_seed*.json"):
        path.unlink()
    world.plan = experiments["pendulum4"]  # has nobody to compare with
    assert world.verdict("worst") == ("open", "")


def test_schedules_of_training_and_others(world: World) -> None:
    world.write("nexus", 0.8, 0.8)
    assert world.verdict("schedules")[0] == "open"
    worse = {"rest": 0.85, **dict.fromkeys(UNSEEN, 0.5)}
    world.write("raw_dropout", worse)
    assert world.verdict("schedules")[0] == "too close"  # one seed
    world.write("raw_dropout", worse, worse)
    verdict, numbers = world.verdict("schedules")
    assert verdict == "confirmed"
    assert numbers.startswith(
        "seen: Nexus 0.80, raw, trained under dropout 0.85; "
        "others: Nexus 0.80, raw, trained under dropout 0.54; bernoulli alone: Nexus"
    )
    corrupted = "corruption alone: Nexus 0.80, raw, trained under dropout 0.68"
    assert numbers.endswith(f"; {corrupted}")
    world.write("raw_dropout", *[worse | {"rest": 0.6}] * 2)
    assert world.verdict("schedules")[0] == "not confirmed"  # Nexus is better on both
    world.write("raw_dropout", 0.85, 0.85)
    assert world.verdict("schedules")[0] == "not confirmed"
    world.write("raw_dropout_long", 0.79, 0.79)  # which counts, if it is there
    verdict, numbers = world.verdict("schedules")
    assert verdict == "confirmed"
    assert "dropout 0.85, raw, trained under dropout for three times the steps" in (
        numbers
    )
    world.write("nexus", 0.75, 0.85)
    assert world.verdict("schedules")[0] == "too close"


def test_the_best_over_all_conditions(world: World) -> None:
    for row, score in {"nexus_dropout": 0.9, "nexus": 0.8, "raw": 0.3}.items():
        world.write(row, score, score)
    assert world.verdict("overall")[0] == "open"
    world.write("raw_dropout", 0.7, 0.7)
    assert world.verdict("overall") == (
        "confirmed",
        "Nexus, trained under dropout 0.90, Nexus 0.80, raw, trained under dropout "
        "0.70",
    )
    for row in ("raw_dropout", "mvae", "vae"):
        world.write(row, 0.95, 0.95)
    verdict, numbers = world.verdict("overall")
    assert verdict == "not confirmed"
    assert numbers.endswith(", Nexus, trained under dropout 0.90")  # also the fourth


def test_nobody_survives(world: World) -> None:
    world.write("raw", 0.8)  # which is no better with everything
    for test in ("lies", "blackouts"):
        assert world.verdict(test) == ("open", "")
    world.write("raw", {"rest": 0.8, "lie_image_2": 1.0, "everything": 1.0})
    world.write("nexus", {"rest": 1.0, "lie_image_3": 0.1})
    best = "best raw, zeros for missing 0.80"
    assert world.verdict("lies") == ("confirmed", f"lie_image_3: {best}")
    # Who holds the last latent has memory.
    assert world.verdict("blackouts") == (
        "confirmed",
        f"blackout_5: {best}; with memory: blackout_5: best Nexus 1.00",
    )
    # Who does not see the image is not lied to by it.
    world.write("raw_sound", 1.0)
    assert world.verdict("lies")[0] == "confirmed"
    world.write("nexus", 0.95)
    assert world.verdict("lies")[0] == "not confirmed"
    world.write("raw", 0.9)
    assert world.verdict("blackouts")[0] == "not confirmed"


# -- Learning --------------------------------------------------------------------


def test_the_steps_to_the_oracle_are_those_of_all_seeds(world: World) -> None:
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
        write(world.folder, row, 0.0 if row == "random" else 1.0, **told, seconds=1)
    for row, late in (("raw", 0.95), ("nexus", 0.85)):
        quick = curve(0.5, 0.9, 0.9)
        write(world.folder, row, 0.8, 0.8, **told, seconds=8, progress=quick)
        path = world.folder / f"{row}_seed1.json"
        # Lucky once, and then for good, or not.
        slow = {"seconds": 10, "progress": curve(0.95, 0.2, 0.8, late, 1.0)}
        path.write_text(json.dumps(json.loads(path.read_text()) | slow))
    for path in world.folder.glob("oracle*.json"):
        path.write_text(json.dumps(json.loads(path.read_text()) | {"progress": []}))
    pages = importlib.import_module("agent_pages")
    table = pages.learning_table(world.read()).splitlines()[2:]
    assert table == [
        "| true state | 40 | 1 | 40 | – | – | 0 of 1 |",
        "| raw, zeros for missing | 40 | 8 | 5 | 30 | 6 | 2 of 2 |",
        "| Nexus | 40 | 8 | 5 | – | – | 1 of 2 |",
    ]
