"""MNIST and FashionMNIST: images and labels."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from nexus_rl.data.dataset import Dataset
from nexus_rl.data.files import Source, find_files
from nexus_rl.data.idx import read_idx
from nexus_rl.modality import PAPER

MODALITIES = (PAPER["image"], PAPER["label"])

MNIST = Source(
    name="mnist",
    url="https://ossci-datasets.s3.amazonaws.com/mnist/",
    sha256={
        "train-images-idx3-ubyte": (
            "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"
        ),
        "train-labels-idx1-ubyte": (
            "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"
        ),
        "t10k-images-idx3-ubyte": (
            "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"
        ),
        "t10k-labels-idx1-ubyte": (
            "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"
        ),
    },
)

FASHION_MNIST = Source(
    name="fashion_mnist",
    url="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    sha256={
        "train-images-idx3-ubyte": (
            "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
        ),
        "train-labels-idx1-ubyte": (
            "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
        ),
        "t10k-images-idx3-ubyte": (
            "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
        ),
        "t10k-labels-idx1-ubyte": (
            "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
        ),
    },
    system=Path("/usr/share/datasets/fashion-mnist"),
)

CLOTHES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def load_mnist(data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """MNIST by LeCun, Cortes and Burges: handwritten digits, in the standard order.

    60,000 training and 10,000 test samples: ``image`` uint8 ``(N, 1, 28, 28)`` and
    ``label`` uint8 ``(N,)``. Raises ``UserError`` if the files are missing or wrong.
    """
    return _load(MNIST, tuple("0123456789"), data_dir, download)


def load_fashion_mnist(
    data_dir: str | Path | None = None, download: bool = True
) -> Dataset:
    """FashionMNIST by Zalando SE: clothes, in the format and order of the public files.

    60,000 training and 10,000 test samples: ``image`` uint8 ``(N, 1, 28, 28)`` and
    ``label`` uint8 ``(N,)``. Raises ``UserError`` if the files are missing or wrong.
    """
    return _load(FASHION_MNIST, CLOTHES, data_dir, download)


def _load(
    source: Source,
    classes: tuple[str, ...],
    data_dir: str | Path | None,
    download: bool,
) -> Dataset:
    paths = find_files(source, data_dir, download)

    def read(name: str, dims: int) -> Tensor:
        return read_idx(paths[name], dims, source.sha256[name], source.advice(name))

    def part(prefix: str) -> dict[str, Tensor]:
        return {
            "image": read(f"{prefix}-images-idx3-ubyte", 3).unsqueeze(1),
            "label": read(f"{prefix}-labels-idx1-ubyte", 1),
        }

    return Dataset(source.name, MODALITIES, part("train"), part("t10k"), classes)
