"""Classifiers and autoencoders: sizes, training, the cache, and your own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from worlds import CLASS, POINT, quadrant, world

from nexus_rl import Modality, UserError
from nexus_rl.cmi import JudgeConfig, Judges
from nexus_rl.cmi.judge_networks import FEATURES, Autoencoder, Classifier, Dropout
from nexus_rl.data import Dataset
from nexus_rl.draws import Draws, seeded
from nexus_rl.loop import Loop
from nexus_rl.modality import PAPER

WORLD = world()
QUICK = JudgeConfig(classifier_epochs=3, autoencoder_epochs=3, batch_size=16)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("judges")


def judges(cache: Path, dataset: Dataset = WORLD, **options: object) -> Judges:
    config = options.pop("config", QUICK)
    return Judges.of(dataset, config=config, cache=cache, **options)  # type: ignore[arg-type]


# -- Networks --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "classifier", "autoencoders"),
    [
        ("image", 87_818, (471_168, 872_640)),
        ("trajectory", 434_826, (1_328_392, 1_328_392)),
        ("sound", 485_578, (2_531_328, 2_531_328)),
    ],
)
def test_sizes_are_those_of_the_paper(
    name: str, classifier: int, autoencoders: tuple[int, int]
) -> None:
    modality = PAPER[name]

    def count(network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    assert count(Classifier(modality, PAPER["label"])) == classifier
    dims = FEATURES[modality.kind]
    assert tuple(count(Autoencoder(modality, d)) for d in dims) == autoencoders


@pytest.mark.parametrize(
    "modality",
    [
        Modality("x", (3, 5, 9)),
        Modality("x", (1, 17, 33)),
        Modality("x", (2, 12, 12), kind="frames"),
        Modality("x", (2, 6, 7), kind="spectrogram"),
        Modality("x", (4,), low=-1, high=1),
    ],
    ids=lambda modality: f"{modality.kind}{modality.shape}",
)
def test_any_shape_has_judges(modality: Modality) -> None:
    label = Modality("y", (3,), "categorical")
    batch = {"x": torch.rand(4, *modality.shape), "y": torch.tensor([0, 1, 2, 0])}
    for judge in (Classifier(modality, label), Autoencoder(modality, 7)):
        loss = judge(batch, generator=Draws(seeded(0))).total
        loss.backward()
        assert loss.isfinite()
        assert all(p.grad is not None and p.grad.any() for p in judge.parameters())


def test_dropout_removes_whole_channels_and_keeps_the_mean() -> None:
    dropout = Dropout(0.25)
    dropout.draws = Draws(seeded(0))
    x = torch.ones(500, 20, 2, 3)
    y = dropout(x)
    assert torch.equal(y, y[:, :, :1, :1].expand_as(y))
    assert y.unique().tolist() == [0.0, pytest.approx(1 / 0.75)]
    assert float(y.mean()) == pytest.approx(1, abs=0.03)
    assert torch.equal(dropout.eval()(x), x)


# -- Training and keeping ----------------------------------------------------------


def test_judges_learn_and_touch_no_global_randomness(cache: Path) -> None:
    before = torch.random.get_rng_state()
    found = judges(cache, config=replace(QUICK, classifier_epochs=10))
    truth = quadrant(WORLD.test["point"]) == WORLD.test["class"]
    best = float(truth.float().mean())
    assert found.ceiling("point") == pytest.approx(best, abs=0.03)
    assert found.ceiling("class") == 1.0
    assert torch.equal(torch.random.get_rng_state(), before)


def test_what_was_trained_once_is_kept_whatever_the_process(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = judges(cache)
    x, classes = WORLD.test["point"], WORLD.test["class"].long()
    said = first.classify("point", x)
    features = first.features("point", x, classes), first.features("point", x, None)
    assert features[0].shape == (400, first.feature_dim("point", pooled=False))

    def refuse(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(Judges, "_fit", refuse)
    again = judges(cache)
    assert again.describe() == first.describe()
    assert torch.equal(again.classify("point", x), said)
    assert torch.equal(again.features("point", x, classes), features[0])
    assert torch.equal(again.features("point", x, None), features[1])
    # Other data, settings or ranges need other judges.
    more = {**WORLD.train, "point": WORLD.train["point"].roll(1, 0)}
    wide = (POINT.replace(high=5.0), CLASS)
    for other in (
        judges(cache, replace(WORLD, train=more)),
        judges(cache, replace(WORLD, modalities=wide)),
        judges(cache, config=replace(QUICK, seed=5)),
    ):
        with pytest.raises(AssertionError, match="trained again"):
            other.classify("point", x)


def test_the_same_settings_give_the_same_judges(tmp_path: Path) -> None:
    names = []
    for folder in (tmp_path / "a", tmp_path / "b"):
        judges(folder).judge("point", "classifier")
        judges(folder).judge("point", "autoencoder-class2")
        names.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert names[0] == names[1] and len(names[0]) == 2


def test_the_weights_of_least_validation_loss_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a step size that makes it worse again, not the last ones."""
    seen: list[tuple[float, Tensor]] = []
    validate = Loop.validate

    def watched(self: Loop) -> dict[str, float]:
        found = validate(self)
        weights = nn.utils.parameters_to_vector(self.model.parameters())
        seen.append((found["validation/loss"], weights.detach().clone()))
        return found

    monkeypatch.setattr(Loop, "validate", watched)
    found = judges(tmp_path, config=replace(QUICK, learning_rate=0.3))
    found.judge("point", "autoencoder")
    losses = [loss for loss, _ in seen]
    best = losses.index(min(losses))
    assert best < len(losses) - 1, "the test needs a run that gets worse"
    judge = found.judge("point", "autoencoder")
    kept = nn.utils.parameters_to_vector(judge.parameters())
    assert torch.equal(kept, seen[best][1])


def test_class_autoencoders_see_their_class_alone(tmp_path: Path) -> None:
    """Changing the items of another class changes nothing."""
    point = WORLD.train["point"].clone()
    point[WORLD.train["class"] != 2] = 0.0
    other = replace(WORLD, train={**WORLD.train, "point": point})
    x, classes = WORLD.test["point"], torch.full((400,), 2)
    found = [
        judges(tmp_path, dataset).features("point", x, classes)
        for dataset in (WORLD, other)
    ]
    assert torch.equal(*found)


def test_repeats_are_learned_once_and_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    learn = Loop.run

    def watched(self: Loop, *args: object) -> object:
        rows = len(self.train_rows) + len(self.validation_rows)
        seen.append((rows, self.config.epochs))
        return learn(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(Loop, "run", watched)

    def learned(copies: int, kept: int = 1200) -> str:
        """From some rows, several times each; the name it is kept under."""
        rows = torch.arange(kept).repeat(copies)
        train = {name: x[rows] for name, x in WORLD.train.items()}
        found = judges(tmp_path / f"{copies} {kept}", replace(WORLD, train=train))
        found.judge("point", "classifier")
        distinct = found.describe().get("distinct", {})
        assert distinct == ({"point": kept} if copies > 1 else {})
        (path,) = (tmp_path / f"{copies} {kept}").iterdir()
        return path.name

    names = {learned(1), learned(4, 300), learned(400, 3)}
    assert seen == [(1200, 3), (300, 12), (3, 100)]
    assert len(names) == 3


def test_features_depend_on_their_row_alone(cache: Path) -> None:
    """Batch statistics are those of training, unlike in the released code."""
    found, x = judges(cache), WORLD.test["point"]
    whole = found.features("point", x, None)
    assert torch.allclose(found.features("point", x[:3], None), whole[:3], atol=1e-5)
    classes = WORLD.test["class"].long()
    mixed = found.features("point", x, classes)
    for k in range(4):
        rows = classes == k
        alone = found.features("point", x[rows], classes[rows])
        assert torch.allclose(alone, mixed[rows], atol=1e-5)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    judges(tmp_path).judge("point", "classifier")
    (path,) = tmp_path.iterdir()
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match=f"{path.name} is damaged .*: delete it"):
        judges(tmp_path).classify("point", WORLD.test["point"])


def test_a_classifier_learns_real_digits(mnist: Dataset, tmp_path: Path) -> None:
    config = JudgeConfig(classifier_epochs=3)
    found = Judges.of(mnist.head(6000, 1000), config=config, cache=tmp_path)
    assert found.ceiling("image") > 0.93


# -- Your own --------------------------------------------------------------------


def test_a_classifier_of_your_own(tmp_path: Path) -> None:
    mine = judges(tmp_path, classifiers={"point": quadrant})
    truth = quadrant(WORLD.test["point"]) == WORLD.test["class"]
    assert mine.ceiling("point") == pytest.approx(float(truth.float().mean()))
    scores = judges(
        tmp_path, classifiers={"point": lambda x: torch.eye(4)[quadrant(x)]}
    )
    x = WORLD.test["point"]
    assert torch.equal(scores.classify("point", x), mine.classify("point", x))
    told = f"point: {100 * mine.ceiling('point'):.2f} %"  # so reports of others differ
    assert mine.describe()["given"] == [told]
    assert ("point", "classifier") not in mine.names()
    assert list(tmp_path.iterdir()) == []


def test_what_a_classifier_says_may_be_an_array(tmp_path: Path) -> None:
    def heard(x: Tensor) -> Any:
        return quadrant(x).numpy()

    mine = judges(tmp_path, classifiers={"point": heard})
    x = WORLD.test["point"]
    assert torch.equal(mine.classify("point", x), quadrant(x))


@pytest.mark.parametrize(
    "said",
    [
        lambda x: torch.zeros(len(x), 1),
        lambda x: torch.zeros(len(x), 4, 1),
        lambda x: torch.zeros(len(x), 2),
        lambda x: torch.full((len(x), 4), torch.nan),
        lambda x: torch.zeros(len(x)),
        lambda x: torch.full((len(x),), 4),
        lambda x: quadrant(x)[1:],
        lambda x: ["a"] * len(x),
        lambda x: None,
    ],
)
def test_what_is_no_answer_is_refused(said: Any, tmp_path: Path) -> None:
    mine = judges(tmp_path, classifiers={"point": said})
    with pytest.raises(UserError, match=r"the classifier of 'point' .* from 0 to 3"):
        mine.classify("point", WORLD.test["point"])


def test_what_cannot_be_judged_is_refused(tmp_path: Path) -> None:
    blind = Dataset(
        "blind",
        (POINT,),
        {"point": WORLD.train["point"]},
        {"point": WORLD.test["point"]},
    )
    with pytest.raises(UserError, match="'blind' has no label"):
        judges(tmp_path, blind)
    with pytest.raises(UserError, match=r"unknown modality .*Did you mean 'point'"):
        judges(tmp_path, classifiers={"pint": quadrant})
    with pytest.raises(UserError, match="unknown device"):
        judges(tmp_path, device="gpu")
    with pytest.raises(UserError, match="epochs must be at least 1"):
        judges(tmp_path, config=replace(QUICK, classifier_epochs=0))
