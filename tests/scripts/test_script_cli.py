"""What all command lines share: help at once, errors in one line, presets."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest
from script_runs import SCRIPTS, from_shell

from nexus_rl import UserError, cli
from nexus_rl.presets import PRESETS

NAMES = ["pretrain_nexus.py", "evaluate_cmi.py", "evaluate_encoder.py"]
OPTIONS = {
    "pretrain_nexus.py": ("--env", "--rows", "--top-epochs", "--dataset", "--data-dir"),
    "evaluate_cmi.py": ("--dataset", "--data-dir"),
    "evaluate_encoder.py": ("--env", "--rows", "--model"),
}


@pytest.mark.parametrize("name", NAMES)
def test_help_does_not_import_torch(name: str) -> None:
    code = (
        f"import sys, runpy; sys.argv = [{name!r}, '--help']\n"
        f"try: runpy.run_path({str(SCRIPTS / name)!r}, run_name='__main__')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'numpy', 'matplotlib', 'tensorboard'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = from_shell("-c", code)
    assert done.returncode == 0, done.stderr
    for option in ("--device", "--seed", "--out", *OPTIONS[name]):
        assert option in done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_unknown_options_are_one_clear_message(name: str) -> None:
    done = from_shell(SCRIPTS / name, "--sead", "3")
    assert done.returncode == 2
    assert "--seed" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_preset_gets_a_suggestion() -> None:
    done = from_shell(SCRIPTS / "pretrain_nexus.py", "--preset", "papper")
    assert done.returncode == 2
    assert done.stderr.startswith(
        "error: unknown preset 'papper'. Did you mean 'paper'"
    )
    assert done.stderr.count("\n") == 1


def test_resume_where_there_is_no_run(tmp_path: Path) -> None:
    done = from_shell(SCRIPTS / "pretrain_nexus.py", "--resume", tmp_path / "none")
    assert done.returncode == 2
    assert done.stderr.startswith("error: no training run at")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_values_out_of_range_are_one_line() -> None:
    done = from_shell(SCRIPTS / "pretrain_nexus.py", "--epochs", "0")
    assert done.returncode == 2
    assert "epochs must be at least 1" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


# -- Presets ---------------------------------------------------------------------


def test_a_preset_overrides_defaults_and_options_override_it(
    pretrain_nexus: ModuleType,
) -> None:
    parse = pretrain_nexus.parse
    for arguments, name in (
        ([], "pendulum"),
        (["--env", "envs:nexus_rl/HyperHot-v0"], "environment"),
        (["--dataset", "mnist"], "paper"),
    ):
        plain, preset = parse(arguments), PRESETS[name]
        assert (plain.preset, plain.model, plain.train, plain.top) == (
            *(name, preset.model, preset.train, preset.top),
        )
    four = parse(["--preset", "paper_four"])
    assert (four.model.latent_dim, four.model.rho) == (32, 0.2)
    for arguments in (
        ["--preset", "paper_four", "--rho", "0.5", "--epochs", "7"],
        ["--rho", "0.5", "--epochs=7", "--preset=paper_four"],
    ):
        args = parse(arguments)
        assert args.preset == "paper_four"
        assert (args.model.latent_dim, args.model.rho) == (32, 0.5)
        assert args.train.epochs == 7


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_can_be_chosen(pretrain_nexus: ModuleType, name: str) -> None:
    args = pretrain_nexus.parse(["--preset", name])
    assert args.model == PRESETS[name].model
    assert args.train == PRESETS[name].train
    assert args.top == PRESETS[name].top


def test_given_reads_some_options_before_all_others() -> None:
    given = cli.given
    assert given(["preset", "resume"], []) == {}
    assert given(["preset"], ["--preset", "demo", "--epochs", "3"]) == {
        "preset": "demo"
    }
    assert given(["preset"], ["--epochs", "3", "--preset=demo"]) == {"preset": "demo"}
    assert given(["preset"], ["--preset", "a", "--preset", "b"]) == {"preset": "b"}
    # No abbreviations, no other options, and no complaints: that is the parser's part.
    assert given(["preset"], ["--pre", "demo", "--presets", "x"]) == {}
    assert given(["preset"], ["--preset"]) == {}
    assert given(["preset"], ["--help"]) == {}


# -- How a command line ends -----------------------------------------------------


def end(main: object) -> object:
    with pytest.raises(SystemExit) as caught:
        cli.run(main)  # type: ignore[arg-type]
    return caught.value.code


def test_exit_codes(capfd: pytest.CaptureFixture[str]) -> None:
    def wrong() -> int:
        raise UserError("no such thing")

    def stopped() -> int:
        raise KeyboardInterrupt

    def broken() -> int:
        raise ZeroDivisionError

    assert end(lambda: None) == 0
    assert end(lambda: 130) == 130
    assert capfd.readouterr().err == ""
    assert end(wrong) == 2
    assert capfd.readouterr().err == "error: no such thing\n"
    assert end(stopped) == 130
    assert capfd.readouterr().err == "interrupted\n"
    with pytest.raises(ZeroDivisionError):  # a bug is shown as one
        cli.run(broken)
