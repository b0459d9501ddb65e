"""Corruption of real files: each is one UserError that says what was found."""

import gzip
import hashlib
import shutil
import struct
from pathlib import Path

import pytest
import torch

from nexus_rl.data.idx import read_idx
from nexus_rl.errors import UserError

IMAGES = "t10k-images-idx3-ubyte"
LABELS = "t10k-labels-idx1-ubyte"
ADVICE = "Here is a good one."


@pytest.fixture(scope="module")
def labels(real_data: Path) -> bytes:
    return gzip.decompress((real_data / "mnist" / f"{LABELS}.gz").read_bytes())


def refused(path: Path, dims: int, *fragments: str, sha256: str = "") -> None:
    with pytest.raises(UserError) as caught:
        read_idx(path, dims, sha256, ADVICE)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert message.endswith(ADVICE)
    for fragment in fragments:
        assert fragment in message


def test_plain_and_gzipped_files_are_read_the_same(tmp_path, real_data, labels):
    plain = tmp_path / LABELS
    plain.write_bytes(labels)
    expected = torch.tensor(list(labels[8:]), dtype=torch.uint8)
    digest = hashlib.sha256(labels).hexdigest()
    for path in (plain, real_data / "mnist" / f"{LABELS}.gz"):
        assert torch.equal(read_idx(path, 1, digest), expected)


def test_a_file_unzipped_without_renaming_is_read(tmp_path, labels):
    path = tmp_path / f"{LABELS}.gz"
    path.write_bytes(labels)
    assert len(read_idx(path, 1)) == 10_000


def test_axes_are_in_order_and_the_tensor_is_writable(tmp_path):
    path = tmp_path / "array"
    path.write_bytes(b"\0\0\x08\x03" + struct.pack(">3I", 2, 3, 4) + bytes(range(24)))
    array = read_idx(path, 3)
    assert torch.equal(array, torch.arange(24, dtype=torch.uint8).reshape(2, 3, 4))
    array[0, 0, 0] = 7
    assert read_idx(path, 3)[0, 0, 0] == 0


@pytest.mark.parametrize("keep", [0.01, 0.5, 0.999999])
def test_truncated_gzip(tmp_path, real_data, keep):
    whole = (real_data / "mnist" / f"{IMAGES}.gz").read_bytes()
    path = tmp_path / f"{IMAGES}.gz"
    path.write_bytes(whole[: int(keep * len(whole))])
    refused(path, 3, "expected a whole gzip file", "truncated or corrupt")


@pytest.mark.parametrize("position", [0.1, 0.5, 0.9])
def test_flipped_byte_in_gzip(tmp_path, real_data, position):
    whole = bytearray((real_data / "mnist" / f"{IMAGES}.gz").read_bytes())
    whole[int(position * len(whole))] ^= 0xFF
    path = tmp_path / f"{IMAGES}.gz"
    path.write_bytes(whole)
    refused(path, 3, "expected a whole gzip file", "truncated or corrupt")


def test_flipped_byte_in_plain_file_needs_the_checksum(tmp_path, labels):
    path = tmp_path / LABELS
    path.write_bytes(labels[:-1] + bytes([labels[-1] ^ 1]))
    assert len(read_idx(path, 1)) == 10_000
    good = hashlib.sha256(labels).hexdigest()
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    refused(path, 1, f"expected SHA-256 {good}", f"found {found}", sha256=good)


def test_label_file_where_an_image_file_is_expected(tmp_path, real_data):
    path = tmp_path / f"{IMAGES}.gz"
    shutil.copyfile(real_data / "mnist" / f"{LABELS}.gz", path)
    refused(path, 3, "with 3 axes (magic 00000803)", "found magic 00000801")


def test_wrong_magic(tmp_path, labels):
    path = tmp_path / LABELS
    path.write_bytes(b"<htm" + labels[4:])
    refused(path, 1, "magic 00000801", "found magic 3c68746d")
    path.write_bytes(b"\0\0\x0d\x01" + labels[4:])  # floats
    refused(path, 1, "unsigned bytes", "found magic 00000d01")


def test_sizes_that_do_not_fit(tmp_path, labels):
    path = tmp_path / LABELS
    path.write_bytes(labels[:-3])
    refused(path, 1, "expected 10008 unzipped bytes", "found 10005 bytes")
    path.write_bytes(labels + b"\0")
    refused(path, 1, "expected 10008 unzipped bytes", "found 10009 bytes")
    path.write_bytes(labels[:4] + b"\xff\xff\xff\xff" + labels[8:])
    refused(path, 1, "expected 4294967303 unzipped bytes", "found 10008 bytes")
    path.write_bytes(labels[:6])
    refused(path, 1, "a header of 8 bytes", "6 bytes in all")
    path.write_bytes(labels[:4] + bytes(4))
    refused(path, 1, "at least one item", "an empty array (0,)")
    path.write_bytes(b"")
    refused(path, 1, "the file is empty")


def test_unreadable_path(tmp_path):
    refused(tmp_path / "absent", 1, "cannot be read")
    refused(tmp_path, 1, "cannot be read")
