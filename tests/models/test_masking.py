"""What a model promises about missing sensors, for every model and level.

Availability is a property of each row; what stands behind a False is never read; a
row without sensors is the prior; in eval mode rows do not see each other.
"""

import itertools
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny import CHOICES, FOUR, IMAGE, LABEL, batch_of, gradients, make, shared
from torch import Tensor

from nexus_rl.errors import UserError
from nexus_rl.models import MultimodalVAE

NAMES = [modality.name for modality in FOUR]
JUNK = (float("nan"), float("inf"), -float("inf"), 3e38)

models = st.sampled_from(CHOICES).map(lambda choice: shared(*choice))
masks = st.lists(
    st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=6
).map(torch.tensor)
seeds = st.integers(0, 2**32)
some = settings(max_examples=100, deadline=None)


def spoil(batch: dict[str, Tensor], keep: Tensor, junk: float) -> dict[str, Tensor]:
    """The batch with ``junk`` in every entry that ``keep`` (B, M) does not keep."""
    spoilt = {}
    for column, name in enumerate(NAMES):
        data = batch[name].clone()
        data[~keep[:, column]] = junk if data.is_floating_point() else -99
        spoilt[name] = data
    return spoilt


@torch.no_grad()
def told(
    model: MultimodalVAE,
    batch: dict[str, Tensor],
    mask: Tensor | None = None,
    sample: bool = False,
) -> dict[str, Tensor]:
    """All that a model says of a batch; where it only encodes, its codes."""
    if not model.generative:
        return {"mean": model.encode(batch, mask)}
    model.generator.manual_seed(1)
    q = model.posterior(batch, mask, sample=sample)
    z = model.encode(batch, mask, sample=sample)
    imagined = model.generate(batch, mask, sample=sample)
    return {"mean": q.mean, "stddev": q.stddev, "z": z, **imagined}


def differentiable(model: MultimodalVAE, batch: dict[str, Tensor], mask: Tensor) -> Any:
    """A number that depends on every weight that inference uses."""
    if not model.generative:
        return model.encode(batch, mask).pow(3).sum()
    q = model.posterior(batch, mask)
    decoded = model.decode(q.mean).values()
    return q.stddev.log().sum() + sum(x.square().sum() for x in decoded)


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


@some
@given(models, masks, st.sampled_from(JUNK), seeds, st.booleans())
def test_what_is_masked_is_never_read(
    model: MultimodalVAE, mask: Tensor, junk: float, seed: int, one_hot: bool
) -> None:
    clean = batch_of(rows=len(mask), seed=seed, one_hot=one_hot)
    spoilt = spoil(clean, mask, junk)
    for sample in (False, True):
        equal(told(model, spoilt, mask, sample), told(model, clean, mask, sample))


@some
@given(models, masks, st.sampled_from(JUNK))
def test_what_is_masked_does_not_reach_the_gradients(
    model: MultimodalVAE, mask: Tensor, junk: float
) -> None:
    found = []
    clean = batch_of(rows=len(mask))
    for batch in (clean, spoil(clean, mask, junk)):
        model.zero_grad()
        differentiable(model, batch, mask).backward()
        found.append(gradients(model))
    model.zero_grad()
    torch.testing.assert_close(found[1], found[0], rtol=0, atol=0)
    assert all(gradient.isfinite().all() for gradient in found[1].values())


@pytest.mark.parametrize(("name", "fill", "levels"), CHOICES)
def test_what_is_masked_does_not_reach_the_running_statistics(
    name: str, fill: str, levels: int
) -> None:
    model = make(name=name, fill=fill, levels=levels).train()
    mask = torch.rand(8, 4, generator=torch.Generator().manual_seed(0)) < 0.5
    model.encode(spoil(batch_of(rows=8), mask, float("nan")), mask)
    assert all(statistic.isfinite().all() for statistic in model.buffers())


@some
@given(models, masks, seeds)
def test_a_row_without_sensors_is_the_prior(
    model: MultimodalVAE, mask: Tensor, seed: int
) -> None:
    mask[0] = False
    batch = batch_of(rows=len(mask), seed=seed)
    found = told(model, batch, mask)
    assert torch.equal(found["mean"][0], torch.zeros(model.latent_dim))
    if model.generative:
        assert torch.equal(found["stddev"][0], torch.ones(model.latent_dim))
    assert all(x.isfinite().all() for x in told(model, batch, mask, True).values())


@pytest.mark.parametrize("choice", CHOICES)
def test_an_empty_batch_dict_needs_only_the_number_of_rows(
    choice: tuple[str, str, int],
) -> None:
    model = shared(*choice)
    found = told(model, {}, torch.zeros(3, 4))
    assert torch.equal(found["mean"], torch.zeros(3, 4))
    if not model.generative:
        return
    assert torch.equal(found["stddev"], torch.ones(3, 4))
    z = model.encode({}, torch.zeros(4000, 4), sample=True)
    assert z.mean().item() == pytest.approx(0, abs=0.05)
    assert z.std().item() == pytest.approx(1, abs=0.05)


@some
@given(models, masks, seeds)
def test_mixed_rows_equal_row_by_row_calls(
    model: MultimodalVAE, mask: Tensor, seed: int
) -> None:
    """The oracle is the simplest use there is: one row, a dict of what was seen."""
    batch = batch_of(rows=len(mask), seed=seed)
    found = told(model, batch, mask)
    for i, row in enumerate(mask):
        seen = itertools.compress(NAMES, row.tolist())
        alone = {name: batch[name][i : i + 1] for name in seen}
        expected = told(model, alone, None if alone else mask[i : i + 1])
        same({name: x[[i]] for name, x in found.items()}, expected)


@some
@given(models, st.sets(st.sampled_from(NAMES), min_size=1), seeds)
def test_leaving_a_name_out_equals_masking_it(
    model: MultimodalVAE, given_names: set[str], seed: int
) -> None:
    batch = batch_of(seed=seed)
    mask = torch.tensor([name in given_names for name in NAMES]).expand(6, -1)
    subset = {name: batch[name] for name in given_names}
    expected = told(model, batch, mask)
    same(told(model, subset), expected)
    same(told(model, subset, mask), expected)


@some
@given(models, st.permutations(NAMES), masks, seeds)
def test_the_order_of_the_dict_does_not_matter(
    model: MultimodalVAE, order: list[str], mask: Tensor, seed: int
) -> None:
    batch = batch_of(rows=len(mask), seed=seed)
    reordered = {name: batch[name] for name in order}
    for sample in (False, True):
        equal(told(model, reordered, mask, sample), told(model, batch, mask, sample))


@some
@given(models, masks, st.sampled_from(JUNK), st.data())
def test_rows_do_not_see_each_other(
    model: MultimodalVAE, mask: Tensor, junk: float, data: st.DataObject
) -> None:
    """One sensor that reports NaN as available spoils its own row only."""
    row = data.draw(st.integers(0, len(mask) - 1))
    mine = torch.zeros(len(mask), 4, dtype=torch.bool)
    mine[row] = True
    batch = batch_of(rows=len(mask), one_hot=True)
    clean, beside_junk = (
        {name: x[row] for name, x in told(model, each, mask).items()}
        for each in (batch, spoil(batch, mine, junk))
    )
    torch.testing.assert_close(beside_junk, clean)


@pytest.mark.parametrize("choice", CHOICES)
def test_every_sensor_is_used_where_it_is_available(
    choice: tuple[str, str, int],
) -> None:
    """The counterpart of the invariances above: the latent is not constant."""
    model = shared(*choice)
    batch, other = batch_of(seed=1), batch_of(seed=2)
    everything = model.encode(batch)
    for column, name in enumerate(NAMES):
        mask = torch.ones(6, 4, dtype=torch.bool)
        mask[:, column] = False
        changed = batch | {name: other[name]}
        assert not torch.allclose(model.encode(changed), everything)
        assert not torch.allclose(model.encode(batch, mask), everything)


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int64])
def test_availability_may_be_zeros_and_ones_of_any_type(dtype: torch.dtype) -> None:
    """Environments report masks as Box(0, 1, (M,), float32)."""
    model, batch = shared("nexus", "zero", 2), batch_of()
    mask = torch.tensor([[1, 0, 0, 1], [0, 1, 1, 0]] * 3, dtype=dtype)
    expected = model.posterior(batch, mask.bool())
    assert torch.equal(model.posterior(batch, mask).mean, expected.mean)


def test_without_a_mask_everything_in_the_dict_is_available() -> None:
    model, batch = shared("nexus", "zero", 2), batch_of()
    expected = model.posterior(batch, torch.ones(6, 4))
    assert torch.equal(model.posterior(batch).mean, expected.mean)


@pytest.mark.parametrize(
    ("batch", "mask", "message"),
    [
        ({}, None, "needs equal numbers of rows, got: none"),
        (
            batch_of((IMAGE,), 2) | batch_of((LABEL,), 3),
            None,
            "equal numbers of rows, got: image 2, label 3",
        ),
        (batch_of((IMAGE,), 2), torch.ones(3, 4), "image 2, available 3"),
        (
            batch_of((IMAGE,), 2),
            torch.ones(2, 3),
            r"available must be \(B, M\) = \(2, 4\), got \(2, 3\)",
        ),
        (
            batch_of((IMAGE,), 2),
            torch.tensor([[1, 0, 0, 0], [1, 0, 0, 1]]),
            "available marks label as present, but the batch has no such entry",
        ),
        (
            {"imgae": torch.zeros(2, 1, 8, 8)},
            None,
            "unknown modality 'imgae'. Did you mean 'image'?",
        ),
        (
            {"image": torch.zeros(2, 8, 8)},
            None,
            r"modality 'image': expected a tensor \(B, 1, 8, 8\), got \(2, 8, 8\)",
        ),
    ],
)
def test_batches_that_do_not_fit_are_refused(
    batch: dict[str, Tensor], mask: Tensor | None, message: str
) -> None:
    model = shared("nexus", "zero", 2)
    for call in (model.posterior, model.encode, model.generate):
        with pytest.raises(UserError, match=message):
            call(batch, mask)
