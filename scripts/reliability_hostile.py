"""Files that were made to do harm: whether they are refused, how fast, at what cost."""

from __future__ import annotations

import gzip
import json
import multiprocessing
import os
import pickle
import resource
import shutil
import struct
import time
import zipfile
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from reliability_things import THINGS

from nexus_rl import UserError
from nexus_rl.data.mhd.official import read_official
from nexus_rl.data.mhd.sounds import read_fsdd
from nexus_rl.files import fingerprint

# What refusing may take: seconds of a processor, memory beyond what there was before.
SECONDS, MEGABYTES = 5, 1000
PATIENCE = 60  # seconds until a process without an answer is killed
BOMB = 2 * 10**9  # bytes that come out of a bomb: they would be seen in memory
HUGE = 10**12

Forge = Callable[[Path], Any]
Case = tuple[str, Forge, Callable[[Path], Any]]


class Payload:
    """Leaves a file behind where it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return os.system, (f"touch '{self.marker}'",)


# -- What is done to a folder ----------------------------------------------------


def _pickle(name: str) -> Forge:
    """A pickle in place of the file, which would leave "ran" in the folder."""

    def forge(folder: Path) -> None:
        (folder / name).write_bytes(pickle.dumps(Payload(folder / "ran")))

    return forge


def _pickled_array(name: str) -> Forge:
    def forge(folder: Path) -> None:
        array = np.array([Payload(folder / "ran")], dtype=object)
        np.save(folder / name, array, allow_pickle=True)

    return forge


def _pickled_zip(name: str) -> Forge:
    """As torch.save writes them."""

    def forge(folder: Path) -> None:
        with zipfile.ZipFile(folder / name, "w") as file:
            file.writestr("archive/data.pkl", pickle.dumps(Payload(folder / "ran")))
            file.writestr("archive/version", "3\n")

    return forge


def _bytes(name: str, content: bytes) -> Forge:
    return lambda folder: (folder / name).write_bytes(content)


def _edit(name: str, *place: Any, value: Any = HUGE) -> Forge:
    """Another value in a JSON file, without the checksum that would tell."""

    def forge(folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        content.pop("content_sha256", None)
        inner = content
        for key in place[:-1]:
            inner = inner[key]
        inner[place[-1]] = value(inner[place[-1]]) if callable(value) else value
        (folder / name).write_text(json.dumps(content))

    return forge


def _deep(name: str) -> Forge:
    return _bytes(name, b'{"a":' * 100_000)


def _many(first: Any) -> Any:
    """10,000 modalities like the first one."""
    return [{**first[0], "name": f"sensor_{i}"} for i in range(10_000)]


def _outward(files: dict[str, Any]) -> Any:
    """The same files, in the folder beside."""
    return {f"../outside/{name}": about for name, about in files.items()}


def _link(name: str) -> Forge:
    def forge(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to("/etc/hostname")

    return forge


def _npy(name: str, shape: tuple[int, ...]) -> Forge:
    """An array of a few bytes whose header claims more."""

    def forge(folder: Path) -> None:
        with (folder / name).open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            file.write(bytes(100))

    return forge


def _zip_bomb(name: str) -> Forge:
    """Gigabytes of zeros in megabytes, as in a file of torch."""

    def forge(folder: Path) -> None:
        zeros = bytes(10**7)
        with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as file:
            with file.open("archive/data.pkl", "w", force_zip64=True) as entry:
                for _ in range(BOMB // len(zeros)):
                    entry.write(zeros)
            file.writestr("archive/version", "3\n")

    return forge


def _gzip_bomb(name: str, header: bytes) -> Forge:
    def forge(folder: Path) -> None:
        zeros = bytes(10**7)
        with gzip.open(folder / name, "wb", compresslevel=1) as file:
            file.write(header)
            for _ in range(BOMB // len(zeros)):
                file.write(zeros)

    return forge


def _safetensors(name: str, shape: list[int], end: int) -> Forge:
    about = {"w": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}
    header = json.dumps(about).encode()
    return _bytes(name, struct.pack("<Q", len(header)) + header + bytes(16))


def _untied(forge: Forge) -> Forge:
    """Without the checksum of the weights, so that only their content tells."""

    def both(folder: Path) -> None:
        forge(folder)
        path = folder / "config.json"
        content = json.loads(path.read_text())
        for name in ("weights", "content_sha256"):
            content.pop(name, None)
        path.write_text(json.dumps(content))

    return both


def _forge_policy(folder: Path) -> None:
    """A pickle with the right checksum."""
    name = next(folder.glob("policy_*")).name
    _pickle(name)(folder)
    about = fingerprint(folder / name)
    _edit("agent.json", "files", name, value=about)(folder)


# -- Cases, by the kind of folder ------------------------------------------------

IMAGES, LABELS = "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
WEIGHTS, STATE = "model.safetensors", "training.pt"
FORGED: dict[str, dict[str, Forge]] = {
    "model": {
        "a pickle for weights": _untied(_pickle(WEIGHTS)),
        "a pickle for its description": _pickle("config.json"),
        "deep JSON": _deep("config.json"),
        "10,000 modalities": _edit("config.json", "modalities", value=_many),
        "a latent of 10^12": _edit("config.json", "model", "latent_dim"),
        "layers of 10^12": _edit("config.json", "modalities", 0, "width"),
        "a sensor of 10^12": _edit("config.json", "modalities", 1, "shape", 0),
        "weights of 10^12": _untied(_safetensors(WEIGHTS, [HUGE], 4 * HUGE)),
        "a header of 2^60 bytes": _untied(
            _bytes(WEIGHTS, struct.pack("<Q", 2**60) + b"{}")
        ),
        "a link out of the folder": _untied(_link(WEIGHTS)),
    },
    "agent": {
        "a pickle for a policy": _forge_policy,
        "a pickle for its description": _pickle("agent.json"),
        "deep JSON": _deep("agent.json"),
        "files outside the folder": _edit("agent.json", "files", value=_outward),
        "an encoder outside the folder": _edit(
            *("agent.json", "task", "perception", "encoder"), value="../outside"
        ),
        "a network of 10^12": _edit(
            *("agent.json", "policy", "kwargs", "net_arch"), value=[HUGE]
        ),
        "an encoder of 10^12": _edit("encoder/config.json", "model", "latent_dim"),
    },
    "run": {
        "a pickle for its state": _pickle(STATE),
        "a pickle in an archive": _pickled_zip(STATE),
        "a zip bomb": _zip_bomb(STATE),
        "deep JSON": _deep("run.json"),
    },
    "mhd": {
        "a pickle in an array": _pickled_array("sound.npy"),
        "an array of 10^12": _npy("sound.npy", (HUGE,)),
        "files outside the folder": _edit("index.json", "files", value=_outward),
        "deep JSON": _deep("index.json"),
        "10^12 samples": _edit("index.json", "samples", "train"),
        "a link out of the folder": _link("train_image.npy"),
    },
    "idx": {
        "a pickle": _pickle(IMAGES),
        "images of 10^12": _bytes(
            IMAGES, struct.pack(">4B3I", 0, 0, 8, 3, 10**4, 10**4, 10**4) + bytes(100)
        ),
        "a gzip bomb": _gzip_bomb(LABELS, struct.pack(">4BI", 0, 0, 8, 1, 10**4)),
    },
    "rollouts": {
        "a pickle for a column": _pickle("observation.image.bin"),
        "a pickle for the index": _pickle("index.json"),
        "deep JSON": _deep("index.json"),
        "columns outside the folder": _edit("index.json", "columns", value=_outward),
        "a row of 10^12": _edit(
            *("index.json", "columns", "observation.image", "shape"), value=[HUGE]
        ),
        "a link out of the folder": _link("reward.bin"),
    },
}
# Sources of data, which need no folder.
SOURCES: dict[str, tuple[Forge, Callable[[Path], Any]]] = {
    "MHD of the authors: a pickle": (
        _pickle("mhd_train.pt"),
        lambda folder: read_official(folder / "mhd_train.pt"),
    ),
    "MHD of the authors: a pickle in an archive": (
        _pickled_zip("mhd_train.pt"),
        lambda folder: read_official(folder / "mhd_train.pt"),
    ),
    "MHD of the authors: a zip bomb": (
        _zip_bomb("mhd_train.pt"),
        lambda folder: read_official(folder / "mhd_train.pt"),
    ),
    "spoken digits: a pickle": (
        _pickle("fsdd.npz"),
        lambda folder: read_fsdd(folder / "fsdd.npz"),
    ),
    "spoken digits: a zip bomb": (
        _zip_bomb("fsdd.npz"),
        lambda folder: read_fsdd(folder / "fsdd.npz"),
    ),
}


def hostile(kind: str, scratch: Path) -> dict[str, Any]:
    """What becomes of each forged folder of a kind, or of the ``sources``."""
    whole, results = scratch / "whole", {}
    if kind == "sources":
        whole.mkdir()
        cases = dict(SOURCES)
    else:
        thing = THINGS[kind]
        thing.make(whole)
        cases = {
            f"{kind}: {name}": (forge, thing.load)
            for name, forge in FORGED[kind].items()
        }
    for name, (forge, load) in cases.items():
        folder = scratch / "forged"
        shutil.copytree(whole, folder)
        forge(folder)
        results[name] = attempt(load, folder)
        shutil.rmtree(folder)
    lost = [f"{name}: {found['outcome']}" for name, found in results.items()]
    lost = [text for text in lost if not text.endswith(": refused")]
    return {"cases": results, "lost": lost}


def attempt(load: Callable[[Path], Any], folder: Path) -> dict[str, Any]:
    """The outcome of loading in a process of its own, its seconds and megabytes.

    The outcome is "refused" or what is wrong.
    """
    context = multiprocessing.get_context("fork")
    mine, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_load, args=(load, folder, theirs))
    process.start()
    theirs.close()
    if not mine.poll(PATIENCE):
        process.kill()
    try:
        outcome, seconds, megabytes = mine.recv()
    except EOFError:
        outcome, seconds, megabytes = "no answer: it hung or was killed", 0.0, 0
    process.join()
    if (folder / "ran").exists():
        outcome = "code was run"
    elif outcome == "refused" and seconds > SECONDS:
        outcome = f"refused after {seconds:.0f} s"
    elif outcome == "refused" and megabytes > MEGABYTES:
        outcome = f"refused after {megabytes} MB"
    return {"outcome": outcome, "seconds": round(seconds, 2), "megabytes": megabytes}


def _load(load: Callable[[Path], Any], folder: Path, answer: Connection) -> None:
    before, begun = _memory("VmRSS"), time.process_time()
    limit = 10**6 * _memory("VmSize") + 2 * BOMB
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        load(folder)
        outcome = "taken as if it were whole"
    except UserError:
        outcome = "refused"
    except Exception as error:  # whatever it is, it is the outcome
        outcome = f"{type(error).__name__}: {error}"[:200]
    seconds = time.process_time() - begun
    answer.send((outcome, seconds, _memory("VmHWM") - before))


def _memory(name: str) -> int:
    """Megabytes of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    line = next(line for line in lines if line.startswith(name))
    return int(line.split()[1]) // 1000
