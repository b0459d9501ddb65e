"""Pictures of reconstructions and imaginations (as Figs. 17 to 19 of the paper)."""

import io
import random
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from tiny import IMAGE, LABEL, SOUND, VECTOR, batch_of, make
from torch import Tensor

from nexus_rl import Modality
from nexus_rl.modality import PAPER
from nexus_rl.pictures import draw, examples

RGB = Modality("image", (3, 8, 8), low=-1, high=1)
TWO_CHANNELS = Modality("image", (2, 8, 8))
FRAMES = Modality("camera", (3, 8, 8), kind="frames")


def titles(figure: Figure, columns: int) -> list[str]:
    """The titles of the lines; every line must have ``columns`` axes."""
    assert len(figure.axes) % columns == 0
    return [axes.get_ylabel() for axes in figure.axes[::columns]]


def labels(figure: Figure) -> list[tuple[str, str]]:
    return [(t.get_text(), t.get_color()) for ax in figure.axes for t in ax.texts]


def test_image_and_label_in_both_levels() -> None:
    figure = draw(make((IMAGE, LABEL)), batch_of((IMAGE, LABEL), rows=2))
    part = ["{}: data", "bottom level", "top level", "from {}", "", ""]
    expected = [line.format("image") for line in part[:3]] + ["from label", "", ""]
    expected += [line.format("label") for line in part[:3]] + ["from image", "", ""]
    assert titles(figure, 2) == expected


@pytest.mark.parametrize(
    "modality",
    [IMAGE, RGB, TWO_CHANNELS, FRAMES, VECTOR, SOUND, LABEL],
    ids=lambda m: f"{m.kind}{m.shape}",
)
@pytest.mark.parametrize(
    ("levels", "stage", "lines"),
    [
        (2, "joint", ["data", "bottom level", "top level"]),
        (2, "bottom", ["data", "bottom level"]),
        (1, "joint", ["data", "top level"]),
    ],
)
def test_every_kind_alone(
    modality: Modality, levels: int, stage: str, lines: list[str]
) -> None:
    model = make((modality,), levels=levels)
    figure = draw(model, batch_of((modality,), rows=2), stage=stage)
    assert titles(figure, 2) == [f"{modality.name}: {lines[0]}", *lines[1:]]
    figure.savefig(io.BytesIO(), format="png", dpi=20)


def test_several_sensors_imagine_each_other() -> None:
    mods = (VECTOR, SOUND, LABEL)
    figure = draw(make(mods, levels=1), batch_of(mods, rows=1))
    assert titles(figure, 1) == [
        line
        for modality in mods
        for line in (
            f"{modality.name}: data",
            "top level",
            *(
                f"from {other.name}"
                for other in mods
                if other is not modality  # of each one sample
            ),
        )
    ]


def test_a_trajectory_is_drawn_as_a_pen_and_other_vectors_as_lines() -> None:
    sensors = (PAPER["trajectory"], Modality("motion", (200,)))
    batch = batch_of(sensors, rows=2)
    axes = {ax.get_ylabel(): ax for ax in draw(make(sensors), batch).axes}
    pen, motion = axes["trajectory: data"], axes["motion: data"]
    (dots,) = pen.collections
    expected = batch["trajectory"][0].reshape(2, 100).T
    assert torch.equal(torch.tensor(dots.get_offsets()).float(), expected.float())
    assert pen.yaxis_inverted() and not motion.yaxis_inverted()
    assert not motion.collections and len(motion.lines[0].get_xdata()) == 200
    assert pen.bbox.height > motion.bbox.height


def test_data_are_shown_as_they_are() -> None:
    batch = {
        "image": torch.randint(0, 256, (2, 1, 8, 8), dtype=torch.uint8),
        "vector": torch.tensor([[-1.0, 0, 1, 2, 3], [3.0, 2, 1, 0, -1]]),
        "label": torch.tensor([2, 0]),
    }
    figure = draw(make((IMAGE, VECTOR, LABEL)), batch, classes=("a", "b", "c"))
    (shown,) = figure.axes[1].images
    np.testing.assert_allclose(shown.get_array(), batch["image"][1, 0] / 255, atol=1e-6)
    lines = [axes.lines[0].get_ydata() for axes in figure.axes if axes.lines]
    np.testing.assert_allclose(lines[0], batch["vector"][0], atol=1e-6)
    texts = labels(figure)
    assert [text for text, _ in texts[:2]] == ["c", "a"]
    assert {text.split("\n")[0] for text, _ in texts} <= {"a", "b", "c"}


@pytest.mark.parametrize(
    ("modality", "size"),
    [
        (IMAGE, (8, 8)),
        (RGB, (8, 8, 3)),
        (TWO_CHANNELS, (8, 16)),
        (FRAMES, (8, 24)),
        (SOUND, (6, 7)),
    ],
    ids=lambda value: str(getattr(value, "shape", "")),
)
def test_pictures_are_pictures(modality: Modality, size: tuple[int, ...]) -> None:
    """Colours where there are three channels; other channels, and the frames of a
    stack, side by side; time runs to the right in a spectrogram."""
    figure = draw(make((modality,), levels=1), batch_of((modality,), rows=1))
    for axes in figure.axes:
        (shown,) = axes.images
        assert shown.get_array().shape == size


def test_wrong_labels_have_another_colour() -> None:
    model = make((LABEL,), levels=1)
    last = model.bottoms["label"].decoder[-1][-1]
    torch.nn.init.zeros_(last.weight)
    last.bias.data = torch.tensor([0.0, 2.0, 0.0])  # always says 1
    figure = draw(model, {"label": torch.tensor([1, 0])})
    (_, ink), _, (top, right), (_, wrong) = labels(figure)
    assert top.startswith("1\n")
    assert len({ink, right, wrong}) == 3


def test_the_same_model_gives_the_same_picture_and_moves_no_generator() -> None:
    model, batch = make((IMAGE, LABEL)), batch_of((IMAGE, LABEL), rows=2)

    def states() -> tuple[object, ...]:
        generators = (torch.get_rng_state(), model.generator.get_state())
        numbers = [state.numpy().tobytes() for state in generators]
        return *numbers, repr(np.random.get_state()), random.getstate()

    before = states()
    first, second = draw(model, batch), draw(model, batch)
    assert states() == before
    for a, b in zip(first.axes, second.axes, strict=True):
        for x, y in zip(a.images, b.images, strict=True):
            np.testing.assert_array_equal(x.get_array(), y.get_array())
    assert labels(first) == labels(second)


def test_figures_are_not_kept_open_and_the_model_is_left_in_eval_mode() -> None:
    model = make((VECTOR,)).train()
    draw(model, batch_of((VECTOR,), rows=1))
    assert plt.get_fignums() == []
    assert not model.training


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"label": torch.tensor([2, 2, 0, 1, 0])}, [2, 3, 0]),
        ({"label": torch.tensor([2, 2, 0])}, [2, 0]),  # no 1 to show
        ({"label": torch.eye(3)[[1, 1, 0]]}, [2, 0]),
    ],
)
def test_examples_are_one_of_each_class(
    data: dict[str, Tensor], expected: Sequence[int]
) -> None:
    batch = {"vector": torch.zeros(len(data["label"]), 5)} | data
    assert examples(batch, (VECTOR, LABEL)).tolist() == expected


def test_without_classes_examples_are_the_first_ten() -> None:
    assert examples({"vector": torch.zeros(3, 5)}, (VECTOR,)).tolist() == [0, 1, 2]
    many = {"vector": torch.zeros(30, 5)}
    assert examples(many, (VECTOR,)).tolist() == list(range(10))
