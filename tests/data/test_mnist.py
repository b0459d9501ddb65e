"""The real files: counts, first labels and pixel statistics as published."""

import gzip
import shutil
import subprocess
import sys
import tracemalloc

import pytest
import torch

from nexus_rl.data import load_dataset
from nexus_rl.data.mnist import FASHION_MNIST, MNIST
from nexus_rl.errors import UserError

TEST_IMAGES = "t10k-images-idx3-ubyte"
TRAIN_COUNTS = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
TEST_COUNTS = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def counts(labels: torch.Tensor) -> list[int]:
    return torch.bincount(labels.long(), minlength=10).tolist()


def pixel_mean_and_std(images: torch.Tensor) -> tuple[float, float]:
    histogram = torch.bincount(images.flatten(), minlength=256).double()
    values = torch.arange(256, dtype=torch.float64) / 255
    mean = (histogram * values).sum() / histogram.sum()
    variance = (histogram * (values - mean) ** 2).sum() / histogram.sum()
    return mean.item(), variance.sqrt().item()


def test_mnist(mnist):
    assert mnist.name == "mnist"
    assert counts(mnist.train["label"]) == TRAIN_COUNTS
    assert counts(mnist.test["label"]) == TEST_COUNTS
    assert mnist.train["label"][:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert mnist.test["label"][:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    mean, std = pixel_mean_and_std(mnist.train["image"])
    assert (mean, std) == pytest.approx((0.1307, 0.3081), abs=5e-5)
    assert mnist.classes == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")


def test_fashion_mnist(fashion_mnist):
    assert fashion_mnist.name == "fashion_mnist"
    assert counts(fashion_mnist.train["label"]) == [6000] * 10
    assert counts(fashion_mnist.test["label"]) == [1000] * 10
    mean, std = pixel_mean_and_std(fashion_mnist.train["image"])
    assert (mean, std) == pytest.approx((0.2860, 0.3530), abs=5e-5)
    assert fashion_mnist.classes[0] == "T-shirt/top"
    assert fashion_mnist.classes[9] == "Ankle boot"


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_data_are_compact_and_modalities_are_those_of_the_paper(name, request):
    dataset = request.getfixturevalue(name)
    for part, samples in ((dataset.train, 60_000), (dataset.test, 10_000)):
        assert part["image"].shape == (samples, 1, 28, 28)
        assert part["label"].shape == (samples,)
        assert {tensor.dtype for tensor in part.values()} == {torch.uint8}
    image, label = dataset.modalities
    assert (image.name, image.kind, image.latent_dim) == ("image", "image", 64)
    assert (image.weight, image.beta, image.top_weight) == (1, 1, 1)
    assert (label.name, label.kind, label.latent_dim) == ("label", "label", 5)
    assert (label.weight, label.beta, label.top_weight) == (50, 1, 50)


def test_images_match_their_labels(mnist):
    """Nearest class mean gets 82 % of MNIST right, so images and labels are aligned."""
    images = mnist.train["image"][:10_000].flatten(1).float()
    labels = mnist.train["label"][:10_000]
    means = torch.stack([images[labels == digit].mean(0) for digit in range(10)])
    tested = mnist.test["image"][:2000].flatten(1).float()
    predicted = torch.cdist(tested, means).argmin(1)
    assert (predicted == mnist.test["label"][:2000]).float().mean() > 0.75


def test_loading_holds_less_than_two_copies(real_data):
    tracemalloc.start()
    dataset = load_dataset("mnist", real_data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    tensors = [*dataset.train.values(), *dataset.test.values()]
    assert peak < 2 * sum(tensor.nbytes for tensor in tensors)


def test_found_through_the_environment_variable(real_data, home, monkeypatch):
    monkeypatch.setenv("NEXUS_RL_DATA", str(real_data))
    assert len(load_dataset("mnist", download=False).test["label"]) == 10_000


def test_plain_files_do_as_well(real_data, tmp_path, mnist):
    for name in MNIST.sha256:
        packed = (real_data / "mnist" / f"{name}.gz").read_bytes()
        (tmp_path / name).write_bytes(gzip.decompress(packed))
    dataset = load_dataset("mnist", tmp_path)
    assert torch.equal(dataset.test["image"], mnist.test["image"])


def test_a_wrong_file_is_named_with_the_good_address(real_data, tmp_path):
    shutil.copytree(real_data / "mnist", tmp_path, dirs_exist_ok=True)
    bad = tmp_path / f"{TEST_IMAGES}.gz"
    bad.unlink()
    shutil.copyfile(real_data / "fashion_mnist" / bad.name, bad)
    with pytest.raises(UserError) as caught:
        load_dataset("mnist", tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{bad}: not the public file")
    assert MNIST.sha256[TEST_IMAGES] in message
    assert FASHION_MNIST.sha256[TEST_IMAGES] in message
    assert MNIST.file_url(TEST_IMAGES) in message
    assert "NEXUS_RL_DATA" in message


def test_unknown_name_gets_a_suggestion():
    with pytest.raises(UserError, match=r"unknown dataset 'mnits'.*mean 'mnist'"):
        load_dataset("mnits")


def test_importing_the_datasets_does_not_import_torchaudio():
    code = "import sys, nexus_rl.data; sys.exit('torchaudio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
