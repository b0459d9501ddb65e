"""Numbers of parameters of the paper's models, as built by the released code."""

import pytest
from tiny import trainable

from nexus_rl import make_model
from nexus_rl.modality import PAPER
from nexus_rl.models import MultimodalVAE

TWO = (PAPER["image"], PAPER["label"])


@pytest.fixture(scope="module")
def two() -> MultimodalVAE:
    return make_model("nexus", TWO)


@pytest.fixture(scope="module")
def four() -> MultimodalVAE:
    return make_model("nexus", tuple(PAPER.values()), latent_dim=32)


@pytest.fixture(scope="module")
def single() -> MultimodalVAE:
    return make_model("nexus", TWO, levels=1)


def test_whole_models(
    two: MultimodalVAE, four: MultimodalVAE, single: MultimodalVAE
) -> None:
    assert trainable(two) == 2_692_537
    assert trainable(four) == 6_472_273
    assert trainable(single) == 3_909_994


@pytest.mark.parametrize(
    ("name", "encoder", "decoder"),
    [
        ("image", 467_840, 462_656),
        ("label", 36_490, 35_850),
        ("trajectory", 647_712, 639_688),
        ("sound", 738_560, 481_792),
    ],
)
def test_bottom_vaes(
    four: MultimodalVAE, name: str, encoder: int, decoder: int
) -> None:
    bottom = four.bottoms[name]
    assert trainable(bottom.encoder) + trainable(bottom.heads) == encoder
    assert trainable(bottom.decoder) == decoder
    assert trainable(bottom) == encoder + decoder


def test_the_sigma_vae_has_no_parameter_for_its_sigma(four: MultimodalVAE) -> None:
    assert trainable(four.bottoms["sound"]) == 1_220_352


@pytest.mark.parametrize(
    ("name", "parameters"),
    [("image", 33_280), ("label", 3_072), ("trajectory", 8_704), ("sound", 66_048)],
)
def test_mapping_networks_are_single_linear_layers(
    four: MultimodalVAE, name: str, parameters: int
) -> None:
    assert trainable(four.fusion.maps[name]) == parameters


def test_top_encoders(
    two: MultimodalVAE, four: MultimodalVAE, single: MultimodalVAE
) -> None:
    for model, parameters in ((two, 543_776), (four, 560_192), (single, 543_776)):
        top = trainable(model.fusion.encoder) + trainable(model.fusion.heads)
        assert top == parameters


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("image", 578_112),
        ("label", 547_845),
        ("trajectory", 553_488),
        ("sound", 610_944),
    ],
)
def test_top_decoders_of_four_modalities(
    four: MultimodalVAE, name: str, parameters: int
) -> None:
    assert trainable(four.top_decoders[name]) == parameters


def test_top_decoders_of_two_modalities(two: MultimodalVAE) -> None:
    assert trainable(two.top_decoders["image"]) == 569_920
    assert trainable(two.top_decoders["label"]) == 539_653


@pytest.mark.parametrize(
    ("name", "trunk", "out_net"),
    [("image", 517_376, 520_000), ("label", 102_272, 101_770)],
)
def test_single_level(
    single: MultimodalVAE, name: str, trunk: int, out_net: int
) -> None:
    assert trainable(single.bottoms[name].encoder) == trunk
    assert trainable(single.bottoms[name].decoder) == out_net
    assert trainable(single.fusion.maps[name]) == 262_656
    assert trainable(single.top_decoders[name]) == 799_744


@pytest.mark.parametrize(
    ("fill", "extra"), [("zero", 0), ("learned", 2 * 512), ("mask", 2 * 512)]
)
def test_concatenation_adds_one_block_of_weights(fill: str, extra: int) -> None:
    """Nexus-0 reads M messages of 512, so its first layer has M times the inputs."""
    model = make_model("nexus0", TWO, fill=fill)
    assert trainable(model) == 2_692_537 + 512 * 512 + extra
