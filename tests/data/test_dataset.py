import pytest
import torch

from nexus_rl.data import Dataset
from nexus_rl.errors import UserError
from nexus_rl.modality import Modality

IMAGE = Modality("image", (1, 28, 28))
LABEL = Modality("label", (3,), likelihood="categorical")


def tensors(samples: int) -> dict[str, torch.Tensor]:
    return {
        "image": torch.zeros(samples, 1, 28, 28, dtype=torch.uint8),
        "label": torch.arange(samples, dtype=torch.uint8) % 3,
    }


def make(samples: int = 10, **changes) -> Dataset:
    fields = {
        "name": "fake",
        "modalities": (IMAGE, LABEL),
        "train": tensors(samples),
        "test": tensors(4),
        "classes": ("a", "b", "c"),
    }
    return Dataset(**{**fields, **changes})


def test_split_has_the_sizes_of_the_paper_and_covers_everything():
    samples = 60_000
    dataset = make(
        modalities=(LABEL,),
        train={"label": torch.zeros(samples, dtype=torch.uint8)},
        test={"label": torch.zeros(1, dtype=torch.uint8)},
    )
    training, validation = dataset.split(seed=3)
    assert (len(training), len(validation)) == (54_000, 6_000)
    both = torch.cat([training, validation]).sort().values
    assert torch.equal(both, torch.arange(samples))  # disjoint and complete


def test_split_depends_on_the_seed_alone():
    dataset = make(1000)
    state = torch.get_rng_state()
    first, second, other = dataset.split(1), dataset.split(1), dataset.split(2)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(first[1], other[1])


def test_split_fraction():
    dataset = make(100)
    assert [len(part) for part in dataset.split(0, 0.29)] == [71, 29]
    assert [len(part) for part in dataset.split(0, 0.0)] == [100, 0]
    for fraction in (1.0, -0.1, float("nan")):
        with pytest.raises(UserError, match=r"share set aside must be in \[0, 1\)"):
            dataset.split(0, fraction)


def test_head_is_a_view_of_the_first_samples():
    dataset = make(10)
    small = dataset.head(6, 2)
    assert (small.name, small.classes) == (dataset.name, dataset.classes)
    assert {len(tensor) for tensor in small.train.values()} == {6}
    assert {len(tensor) for tensor in small.test.values()} == {2}
    assert small.train["image"].data_ptr() == dataset.train["image"].data_ptr()
    assert len(dataset.head(99, 99).train["image"]) == 10
    with pytest.raises(UserError, match="at least one sample"):
        dataset.head(0, 1)


def test_select_is_a_view_of_some_modalities_in_their_order():
    dataset = make(10, origin={"of": "tests"})
    label = dataset.select(["label"])
    assert [modality.name for modality in label.modalities] == ["label"]
    assert set(label.train) == set(label.test) == {"label"}
    assert label.train["label"].data_ptr() == dataset.train["label"].data_ptr()
    assert (label.name, label.origin) == (dataset.name, {"of": "tests"})
    both = dataset.select(["label", "image"])
    assert both.modalities == dataset.modalities
    with pytest.raises(UserError, match="modality of dataset 'fake': 'sound'"):
        dataset.select(["image", "sound"])


def test_distinct_rows_are_the_first_of_their_kind():
    image = torch.zeros(6, 1, 28, 28)
    image[[1, 4], 0, 3, 3] = 1
    image[5, 0, 3, 4] = 1
    dataset = make(6, train=tensors(6) | {"image": image})
    first, place = dataset.distinct("image")
    assert first.tolist() == [0, 1, 5]
    assert place.tolist() == [0, 1, 0, 0, 1, 2]
    assert torch.equal(image[first][place], image)


def test_repr_does_not_print_the_data():
    assert "tensor" not in repr(make())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"modalities": ()}, r"'fake': modalities need distinct names"),
        ({"modalities": (IMAGE, IMAGE)}, "distinct names"),
        ({"modalities": (IMAGE,)}, r"fake.*train: expected tensors named \['image'\]"),
        ({"test": {"image": tensors(4)["image"]}}, r"test: .*got \['image'\]"),
        (
            {"train": tensors(3) | {"label": tensors(4)["label"]}},
            "same number of samples, got {'image': 3, 'label': 4}",
        ),
        (
            {"train": tensors(3) | {"label": torch.tensor([0, 1, 3])}},
            r"train: modality 'label': values from 0 to 3",
        ),
        (
            {"test": tensors(2) | {"image": torch.full((2, 1, 28, 28), 1.5)}},
            r"test: modality 'image': values",
        ),
        (
            {"test": tensors(2) | {"image": torch.full((2, 1, 28, 28), torch.nan)}},
            "test: modality 'image'",
        ),
        ({"train": tensors(3) | {"image": torch.zeros(3, 28, 28)}}, r"\(B, 1, 28, 28"),
        ({"classes": ("a", "b")}, "2 class names for the 3 classes of modality 'label"),
    ],
)
def test_what_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(UserError, match=message):
        make(**changes)
