"""What all command lines share: help at once, errors in one line, presets."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from script_runs import SCRIPTS, from_shell

from nexus_rl import UserError, cli
from nexus_rl.presets import PRESETS

NAMES = [
    *("pretrain_nexus.py", "evaluate_cmi.py", "evaluate_encoder.py"),
    "reproduce_paper.py",
]
OPTIONS = {
    "pretrain_nexus.py": (
        "--env",
        "--env-kwargs",
        "--rows",
        "--top-epochs",
        "--dataset",
        "--data-dir",
    ),
    "evaluate_cmi.py": ("--dataset", "--data-dir"),
    "evaluate_encoder.py": ("--env", "--env-kwargs", "--rows", "--model"),
    "reproduce_paper.py": ("--dataset", "--rows", "--jobs", "table2"),
}


@pytest.mark.parametrize("name", NAMES)
def test_help_does_not_import_torch(name: str) -> None:
    code = (
        f"import sys, runpy; sys.argv = [{name!r}, '--help']\n"
        f"sys.path.insert(0, {str(SCRIPTS)!r})\n"  # as Python does for a script
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
    more = ["table2"] if name == "reproduce_paper.py" else []
    done = from_shell(SCRIPTS / name, *more, "--sead", "3")
    assert done.returncode == 2
    said = done.stdout + done.stderr
    assert "--sead" in said and ("--seed" in said or more)
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
    pretrain_args: ModuleType,
) -> None:
    parse = pretrain_args.parse
    for arguments, name in (
        ([], "pendulum"),
        (["--env", "envs:nexus_rl/HyperHot-v0"], "hyperhot"),
        (["--env", "elsewhere/Robot-v0"], "environment"),
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
def test_every_preset_can_be_chosen(pretrain_args: ModuleType, name: str) -> None:
    args = pretrain_args.parse(["--preset", name])
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


# -- Arguments of environments ---------------------------------------------------


def test_values_are_json_or_text() -> None:
    pairs = ["a=2", "b=0.5", "c=true", "d=False", "e=bands", "f=", "g=x=y", "h=[1, 2]"]
    assert cli.read_kwargs(pairs) == {
        **{"a": 2, "b": 0.5, "c": True, "d": False, "e": "bands", "f": "", "g": "x=y"},
        "h": [1, 2],
    }
    assert cli.read_kwargs([]) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(-1e9, 1e9),
    lambda inside: st.lists(inside) | st.dictionaries(st.text(), inside),
    max_leaves=5,
)


@given(st.dictionaries(st.from_regex(r"[a-z_]+", fullmatch=True), JSON))
def test_what_is_shown_is_read_again(kwargs: dict[str, Any]) -> None:
    """A continued run has the arguments that run.json holds."""
    assert cli.read_kwargs(cli.show_kwargs(kwargs)) == kwargs


def test_texts_are_quoted_only_where_they_must_be() -> None:
    kwargs = {"a": "bands", "b": "2", "c": "True", "d": 2, "e": True}
    assert cli.show_kwargs(kwargs) == ["a=bands", 'b="2"', 'c="True"', "d=2", "e=true"]


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        (["enemies"], "expected NAME=VALUE, such as enemies=2, got 'enemies'"),
        (["=2"], "expected NAME=VALUE"),
        (['{"enemies": 2}'], "expected NAME=VALUE"),
        (["--x=2"], "expected NAME=VALUE"),
        (["a=1", "a=1"], "a is given twice"),
    ],
)
def test_what_is_no_pair_is_refused(pairs: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        cli.read_kwargs(pairs)


@pytest.mark.parametrize("name", ["pretrain_nexus.py", "evaluate_encoder.py"])
def test_a_malformed_pair_is_one_clear_message(name: str) -> None:
    done = from_shell(SCRIPTS / name, "--env-kwargs", "enemies", "--seed", "1")
    assert done.returncode == 2
    assert "NAME=VALUE" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_names_of_folders_tell_environments_apart() -> None:
    assert cli.short_name("envs:nexus_rl/HyperHot-v0", {}) == "hyper_hot"
    assert cli.short_name("MultimodalPendulum4-v0", {}) == "multimodal_pendulum4"
    some = {"sound": "bands", "enemies": 2}
    name = cli.short_name("envs:nexus_rl/HyperHot-v0", some)
    assert name == "hyper_hot_enemies=2_sound=bands"
    strange = cli.short_name("X-v0", {"path": "../a/b c:*" + "long" * 100})
    assert len(strange) <= 100 and not set(strange) & set("/ :*")


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
