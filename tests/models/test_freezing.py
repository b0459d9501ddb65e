"""Frozen bottoms: trained alone, copied, and never changed again."""

from pathlib import Path

import pytest
import torch
from tiny import (
    FOUR,
    IMAGE,
    SOUND,
    VECTOR,
    ConstantNoise,
    batch_of,
    gradients,
    make,
)
from torch import Tensor

from nexus_rl import load_model
from nexus_rl.errors import UserError
from nexus_rl.models import MultimodalVAE
from nexus_rl.models.levels import Bottom


def frozen_sound() -> tuple[MultimodalVAE, MultimodalVAE]:
    """A sigma-VAE of its own, and a four-modality model that has taken it over."""
    source = make((SOUND,))
    model = make(rho=0.5)
    model.freeze_bottom("sound", source)
    return source, model


def state(bottom: Bottom) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in bottom.state_dict().items()}


def test_weights_and_statistics_are_copied() -> None:
    source, model = frozen_sound()
    torch.testing.assert_close(
        state(model.bottoms["sound"]), state(source.bottoms["sound"]), rtol=0, atol=0
    )
    batch = batch_of((SOUND,))
    expected = source.eval().reconstruct(batch, sample=False)["sound"]
    assert torch.equal(model.reconstruct(batch, sample=False)["sound"], expected)
    source.bottoms["sound"].heads.mean.weight.data.zero_()  # a copy, not a view
    assert torch.equal(model.reconstruct(batch, sample=False)["sound"], expected)


def test_training_changes_nothing_in_a_frozen_bottom() -> None:
    _, model = frozen_sound()
    before, others = state(model.bottoms["sound"]), state(model.bottoms["image"])
    optimiser = torch.optim.Adam(model.parameters())
    model.train()
    for _ in range(2):
        optimiser.zero_grad()
        loss = model.loss(batch_of())
        loss.total.backward()
        assert not any("bottoms.sound" in name for name in gradients(model))
        optimiser.step()
    torch.testing.assert_close(state(model.bottoms["sound"]), before, rtol=0, atol=0)
    assert not torch.equal(
        state(model.bottoms["image"])["heads.mean.weight"], others["heads.mean.weight"]
    )


def test_frozen_bottoms_stay_in_eval_mode() -> None:
    _, model = frozen_sound()
    for mode in (True, False, True):
        model.train(mode)
        assert not any(m.training for m in model.bottoms["sound"].modules())
        assert all(m.training is mode for m in model.bottoms["image"].modules())
        assert model.fusion.training is mode


def test_a_frozen_bottom_has_a_top_term_only() -> None:
    """As the sound of the paper's four-modality models."""
    _, model = frozen_sound()
    terms = model.loss(batch_of(), generator=ConstantNoise()).terms
    assert {name for name in terms if name.startswith("sound/")} == {"sound/top"}
    model.loss(batch_of()).total.backward()
    found = gradients(model)
    assert any(name.startswith("top_decoders.sound") for name in found)
    assert any(name.startswith("fusion.maps.sound") for name in found)


def test_without_a_source_the_weights_stay_as_they_are() -> None:
    model = make((IMAGE, VECTOR))
    before = state(model.bottoms["image"])
    model.freeze_bottom("image")
    torch.testing.assert_close(state(model.bottoms["image"]), before, rtol=0, atol=0)
    assert not any(p.requires_grad for p in model.bottoms["image"].parameters())
    assert all(p.requires_grad for p in model.bottoms["vector"].parameters())


def test_freezing_is_saved_and_restored(tmp_path: Path) -> None:
    _, model = frozen_sound()
    model.save_pretrained(tmp_path)
    loaded = load_model(tmp_path).train()
    assert not loaded.bottoms["sound"].training
    assert not any(p.requires_grad for p in loaded.bottoms["sound"].parameters())
    assert all(p.requires_grad for p in loaded.bottoms["image"].parameters())
    assert "sound/reconstruction" not in loaded.loss(batch_of()).terms


@pytest.mark.parametrize(
    ("field", "value"),
    [("latent_dim", 5), ("low", -2.0), ("shape", (1, 9, 6))],
)
def test_a_source_that_differs_is_refused(field: str, value: object) -> None:
    source = make((SOUND.replace(**{field: value}),))
    model = make((SOUND,))
    with pytest.raises(UserError, match=f"modality 'sound': {field} is .* here but"):
        model.freeze_bottom("sound", source)


def test_a_source_of_another_width_is_refused() -> None:
    source, model = make((VECTOR.replace(width=8),)), make((VECTOR,))
    with pytest.raises(UserError, match="modality 'vector': width is 0 here but 8"):
        model.freeze_bottom("vector", source)


def test_weights_of_the_loss_may_differ() -> None:
    """They belong to how a bottom was trained, not to what it is."""
    source = make((SOUND.replace(beta=1.0, top_weight=7.0),))
    model = make((SOUND,))
    model.freeze_bottom("sound", source)
    assert model.bottoms["sound"].frozen


def test_names_that_are_not_there_are_refused() -> None:
    model = make(FOUR)
    with pytest.raises(UserError, match=r"unknown modality 'sond'.*mean 'sound'"):
        model.freeze_bottom("sond")
    with pytest.raises(UserError, match="unknown modality 'sound'"):
        model.freeze_bottom("sound", make((IMAGE,)))


def test_a_source_with_other_levels_is_refused() -> None:
    model, source = make((SOUND,)), make((SOUND,), levels=1)
    with pytest.raises(UserError, match="'sound'"):
        model.freeze_bottom("sound", source)
    assert not model.bottoms["sound"].frozen
