"""Descriptions that were changed, by chance or by hand: named, and never built."""

from __future__ import annotations

import json
import logging
import struct
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from tiny import LABEL, VECTOR, linear_networks, make

from nexus_rl import UserError, load_model, make_model
from nexus_rl.files import read_json, write_json

Change = Callable[[dict[str, Any]], Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make((VECTOR, LABEL)).save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def change(folder: Path, what: Change, seal: bool | None) -> None:
    """Edits the description, which is sealed again, not sealed, or not any more."""
    path = folder / "config.json"
    found = json.loads(path.read_text())
    if seal is None:
        del found["content_sha256"]
    what(found)
    if seal:
        write_json(path, found)
    else:
        path.write_text(json.dumps(found))


@pytest.mark.parametrize(
    ("what", "named"),
    [
        (lambda c: c["modalities"][0].update(low=-2), "config.json was changed"),
        (lambda c: c["model"].update(beta=2.0), "config.json was changed"),
        (lambda c: c["weights"].update(size=7), "config.json was changed"),
        (lambda c: c.update(content_sha256=None), "config.json was changed"),
    ],
)
def test_a_changed_number_is_noticed(folder: Path, what: Change, named: str) -> None:
    change(folder, what, seal=False)
    with pytest.raises(UserError, match=named):
        load_model(folder)


@pytest.mark.parametrize("seal", [True, False, None])
def test_every_key_that_is_missing_or_unknown_is_named(
    folder: Path, seal: bool | None
) -> None:
    original = (folder / "config.json").read_text()
    found = json.loads(original)
    dicts = {"": found, "model": found["model"], "modalities": found["modalities"][1]}
    newer = {"align", "upward", "alpha", "width", "format"}
    # Without a checksum of the content they may be missing, as in older folders.
    older = {"library_version", "tied", "weights", "content_sha256"} | newer
    for where, keys in dicts.items():

        def of(c: dict[str, Any], where: str = where) -> dict[str, Any]:
            return {"": c, "model": c["model"], "modalities": c["modalities"][1]}[where]

        for key in {*keys} - (older if seal is not False else {"content_sha256"}):
            change(folder, lambda c, key=key, of=of: of(c).pop(key), seal)
            with pytest.raises(UserError, match=key):
                load_model(folder)
            (folder / "config.json").write_text(original)
        change(folder, lambda c, of=of: of(c).update(colour=1), seal)
        with pytest.raises(UserError, match="unknown colour"):
            load_model(folder)
        (folder / "config.json").write_text(original)


WRONG: list[Any] = [None, True, {}, "x", -3, 1.5, [[]], 10**400]


def test_any_other_content_is_refused_in_one_sentence(folder: Path) -> None:
    """Or it is another valid value, as the seal was removed by hand."""
    original = (folder / "config.json").read_text()
    found = json.loads(original)
    places: list[tuple[Any, ...]] = [(key,) for key in found]
    places += [("model", key) for key in found["model"]]
    places += [("modalities", 0, key) for key in found["modalities"][0]]
    places += [("modalities", 0), ("modalities", 0, "shape", 0), ("weights", "size")]
    for place in places:
        for wrong in WRONG:

            def put(c: Any, place: Any = place, wrong: Any = wrong) -> None:
                for key in place[:-1]:
                    c = c[key]
                c[place[-1]] = wrong

            change(folder, put, seal=None)
            try:
                load_model(folder)
            except UserError as error:
                assert str(folder) in str(error)
            (folder / "config.json").write_text(original)


@pytest.mark.filterwarnings("ignore:modality")  # of axes that look odd
@pytest.mark.parametrize(
    "what",
    [
        lambda c: c["model"].update(latent_dim=10**12),
        lambda c: c["model"].update(width=10**9),
        lambda c: c["model"].update(width=10**30),
        lambda c: c["modalities"][0].update(shape=[10**12]),
        lambda c: c["modalities"][0].update(latent_dim=10**10),
        lambda c: c["modalities"][0].update(width=10**6),
        lambda c: c["modalities"][0].update(shape=[10**6, 10**6, 8], kind="image"),
        lambda c: c["modalities"][1].update(shape=[10**11]),
        lambda c: c.update(
            modalities=[{**c["modalities"][0], "name": f"m{k}"} for k in range(2000)]
        ),
    ],
)
def test_sizes_are_compared_before_memory_is_taken(folder: Path, what: Change) -> None:
    change(folder, what, seal=True)
    begin = time.monotonic()
    with pytest.raises(UserError, match=r"config\.json"):
        load_model(folder)
    assert time.monotonic() - begin < 5


def test_samples_for_networks_of_ones_own_are_bounded(tmp_path: Path) -> None:
    own = {"vector": linear_networks}
    make_model("nexus", (VECTOR,), networks=own, width=16).save_pretrained(tmp_path)
    what: Change = lambda c: c["modalities"][0].update(shape=[10**12])  # noqa: E731
    change(tmp_path, what, seal=True)
    with pytest.raises(UserError, match="has more than"):
        load_model(tmp_path, networks=own)


@pytest.mark.parametrize(
    "text", ["[" * 10**5, '{"a":' * 10**5, '"\\ud800"', "9" * 9999]
)
def test_texts_that_break_parsers(folder: Path, text: str) -> None:
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match=r"config\.json"):
        load_model(folder)


@pytest.mark.parametrize(
    "tensor",
    [
        {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]},
        {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 16]},
        {"dtype": "F8_E9", "shape": [4], "data_offsets": [0, 4]},
    ],
)
def test_a_header_that_lies(folder: Path, tensor: dict[str, Any]) -> None:
    header = json.dumps({"fusion.prior": tensor}).encode()
    content = struct.pack("<Q", len(header)) + header + bytes(16)
    (folder / "model.safetensors").write_bytes(content)
    change(folder, lambda c: c.pop("weights"), seal=None)
    with pytest.raises(UserError, match=r"model\.safetensors does not fit"):
        load_model(folder)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", 2**60) + bytes(9))
    with pytest.raises(UserError, match=r"model\.safetensors does not fit"):
        load_model(folder)


def test_whole_numbers_are_no_weights(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("weight"))
    save_file({**weights, name: weights[name].int()}, folder / "model.safetensors")
    change(folder, lambda c: c.pop("weights"), seal=None)
    with pytest.raises(UserError, match=f"does not fit config.json: {name} is"):
        load_model(folder)


def test_an_older_folder_is_loaded_with_one_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole = (folder / "config.json").read_bytes()
    for name in ("weights", "tied"):
        change(folder, lambda c, name=name: c.pop(name), seal=False)
    change(folder, lambda c: None, seal=None)
    load_model(folder, guarded=True)
    assert not caplog.records
    model = load_model(folder)
    load_model(folder)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "save_pretrained" in record.getMessage()
    model.save_pretrained(folder)
    assert (folder / "config.json").read_bytes() == whole
    caplog.clear()
    load_model(folder)
    assert not caplog.records


def test_files_may_be_links_as_in_caches_of_downloads(folder: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        elsewhere = (folder / name).rename(folder.parent / f"blob_{name}")
        (folder / name).symlink_to(elsewhere)
    load_model(folder)


def test_the_checksums_are_what_they_say(folder: Path) -> None:
    found = json.loads((folder / "config.json").read_text())
    weights = (folder / "model.safetensors").read_bytes()
    told = {"size": len(weights), "sha256": sha256(weights).hexdigest()}
    assert found["weights"] == told
    rest = {name: value for name, value in found.items() if name != "content_sha256"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    assert found["content_sha256"] == sha256(text.encode()).hexdigest()
    assert read_json(folder / "config.json", "model") == rest
