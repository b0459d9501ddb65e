"""Verdicts on agents, from JSON written by hand."""

from __future__ import annotations

from functools import partial

from agents_world import Agents

ALL = ("complete", "lost", "worst", "schedules", "overall", "blackouts", "lies")
UNSEEN = ("bernoulli_50", "window_image_20_25", "blackout_5", "lie_image_3")


def test_nothing_is_claimed_of_what_was_not_measured(agents: Agents) -> None:
    for test in agents.modules["claims"].HYPOTHESES.values():
        assert test(agents.read()) == ("open", "")
    for row in ("nexus", "nexus_dropout", "raw", "raw_dropout", "mvae", "mmvae"):
        agents.write(row, {"everything": 0.9})  # and nothing else
    for test in ("lost", "worst", "schedules", "blackouts", "lies"):
        assert agents.verdict(test) == ("open", "")


def test_with_all_sensors(agents: Agents) -> None:
    agents.write("raw", 0.8)
    agents.write("nexus", 0.75, 0.75)
    assert agents.verdict("complete")[0] == "open"
    agents.write("raw_dropout", 0.7)
    verdict, numbers = agents.verdict("complete")
    assert verdict == "confirmed" and numbers.startswith("Nexus 0.75, raw, zeros")
    agents.write("raw_dropout", 1.0)  # the better of both counts
    assert agents.verdict("complete")[0] == "not confirmed"


def test_with_a_sensor_gone(agents: Agents) -> None:
    agents.write("nexus", {"rest": 0.8, "no_image": 0.6, "no_sound": 0.56})
    assert agents.verdict("lost")[0] == "open"
    agents.write("raw", {"rest": 0.8, "no_image": 0.2, "no_sound": 0.24})
    verdict, numbers = agents.verdict("lost")
    assert verdict == "confirmed"
    assert numbers.startswith("no_image: Nexus 0.75, raw, zeros for missing 0.25; no_")
    agents.write("raw", {"rest": 0.8, "no_image": 0.2, "no_sound": 0.4})
    assert agents.verdict("lost")[0] == "not confirmed"
    agents.write("raw", {"rest": 0.8, "no_image": 0.2, "no_sound": 0.2})
    agents.write("nexus", {"rest": 0.8, "no_image": 0.5})
    assert agents.verdict("lost")[0] == "not confirmed"
    agents.write("raw", -0.1)  # of which nothing can be kept
    verdict, numbers = agents.verdict("lost")
    assert verdict == "open" and "no better than random" in numbers


def test_the_worst_missing_sensor(agents: Agents) -> None:
    seeds = ({"rest": 0.9, "no_image": 0.61}, {"rest": 0.9, "no_image": 0.59})
    agents.write("nexus", *seeds)
    for row in ("mvae", "mmvae"):
        agents.write(row, *[{"rest": 1.0, "no_sound": 0.5}] * 2)
    assert agents.verdict("worst")[0] == "open"
    agents.write("nexus_plain", *[{"rest": 0.8, "no_sound": 0.1}] * 2)
    assert agents.verdict("worst") == (
        "confirmed",
        "Nexus 0.60, MVAE 0.50, MMVAE 0.50, Nexus, without FPD and alignment 0.10",
    )
    agents.write("mvae", 0.59, 0.59)
    assert agents.verdict("worst")[0] == "too close"
    agents.write("mvae", 0.7, 0.7)
    assert agents.verdict("worst")[0] == "not confirmed"
    paper = partial(agents.modules["claims"].worst, mine="nexus_fpd")
    assert paper(agents.read())[0] == "open"
    agents.write("nexus_fpd", 0.8, 0.81)
    assert paper(agents.read())[0] == "confirmed"


def test_the_worst_missing_sensor_of_those_that_an_experiment_compares(
    agents: Agents,
) -> None:
    for row in ("nexus", "mvae", "mmvae"):
        agents.write(row, *[0.8 if row == "nexus" else 0.5] * 2)
    experiments = agents.modules["rows"].EXPERIMENTS
    agents.plan = experiments["digitdial"]  # has no Nexus without FPD
    assert agents.verdict("worst") == (
        "confirmed",
        "Nexus 0.80, MVAE 0.50, MMVAE 0.50",
    )
    for path in agents.folder.glob("m*vae_seed*.json"):
        path.unlink()
    agents.plan = experiments["pendulum4"]  # has nobody to compare with
    assert agents.verdict("worst") == ("open", "")


def test_schedules_of_training_and_others(agents: Agents) -> None:
    agents.write("nexus", 0.8, 0.8)
    assert agents.verdict("schedules")[0] == "open"
    worse = {"rest": 0.85, **dict.fromkeys(UNSEEN, 0.5)}
    agents.write("raw_dropout", worse)
    assert agents.verdict("schedules")[0] == "too close"  # one seed
    agents.write("raw_dropout", worse, worse)
    verdict, numbers = agents.verdict("schedules")
    assert verdict == "confirmed"
    assert numbers.startswith(
        "seen: Nexus 0.80, raw, trained under dropout 0.85; "
        "others: Nexus 0.80, raw, trained under dropout 0.54; bernoulli alone: Nexus"
    )
    corrupted = "corruption alone: Nexus 0.80, raw, trained under dropout 0.68"
    assert numbers.endswith(f"; {corrupted}")
    agents.write("raw_dropout", *[worse | {"rest": 0.6}] * 2)
    assert agents.verdict("schedules")[0] == "not confirmed"  # Nexus is better on both
    agents.write("raw_dropout", 0.85, 0.85)
    assert agents.verdict("schedules")[0] == "not confirmed"
    agents.write("raw_dropout_long", 0.79, 0.79)  # which counts, if it is there
    verdict, numbers = agents.verdict("schedules")
    assert verdict == "confirmed"
    assert "dropout 0.85, raw, trained under dropout for three times the steps" in (
        numbers
    )
    agents.write("nexus", 0.75, 0.85)
    assert agents.verdict("schedules")[0] == "too close"


def test_the_best_over_all_conditions(agents: Agents) -> None:
    for row, score in {"nexus_dropout": 0.9, "nexus": 0.8, "raw": 0.3}.items():
        agents.write(row, score, score)
    assert agents.verdict("overall")[0] == "open"
    agents.write("raw_dropout", 0.7, 0.7)
    assert agents.verdict("overall") == (
        "confirmed",
        "Nexus, trained under dropout 0.90, Nexus 0.80, raw, trained under dropout "
        "0.70",
    )
    for row in ("raw_dropout", "mvae", "vae"):
        agents.write(row, 0.95, 0.95)
    verdict, numbers = agents.verdict("overall")
    assert verdict == "not confirmed"
    assert numbers.endswith(", Nexus, trained under dropout 0.90")  # also the fourth


def test_nobody_survives(agents: Agents) -> None:
    agents.write("raw", 0.8)  # which is no better with everything
    for test in ("lies", "blackouts"):
        assert agents.verdict(test) == ("open", "")
    agents.write("raw", {"rest": 0.8, "lie_image_2": 1.0, "everything": 1.0})
    agents.write("nexus", {"rest": 1.0, "lie_image_3": 0.1})
    best = "best raw, zeros for missing 0.80"
    assert agents.verdict("lies") == ("confirmed", f"lie_image_3: {best}")
    # Who holds the last latent has memory.
    assert agents.verdict("blackouts") == (
        "confirmed",
        f"blackout_5: {best}; with memory: blackout_5: best Nexus 1.00",
    )
    # Who does not see the image is not lied to by it.
    agents.write("raw_sound", 1.0)
    assert agents.verdict("lies")[0] == "confirmed"
    agents.write("nexus", 0.95)
    assert agents.verdict("lies")[0] == "not confirmed"
    agents.write("raw", 0.9)
    assert agents.verdict("blackouts")[0] == "not confirmed"
