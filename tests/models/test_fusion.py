"""How codes of the available modalities become one aggregate (paper, section 4.2)."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nexus_rl.models.fusion import ConcatFusion, MeanFusion

DIMS = {"a": 3, "b": 5, "c": 2}
WIDTH = 6

masks = st.lists(
    st.lists(st.booleans(), min_size=3, max_size=3), min_size=1, max_size=5
).map(torch.tensor)
some = settings(max_examples=50, deadline=None)


def messages_for(rows: int) -> dict[str, Tensor]:
    noise = torch.Generator().manual_seed(rows)
    return {name: torch.randn(rows, WIDTH, generator=noise) for name in DIMS}


def mean_fusion() -> MeanFusion:
    return MeanFusion(DIMS, 4, WIDTH)


@pytest.mark.parametrize("name", DIMS)
def test_one_available_message_is_the_aggregate(name: str) -> None:
    messages = messages_for(4)
    mask = torch.tensor([name == each for each in DIMS]).expand(4, -1)
    assert torch.equal(mean_fusion().aggregate(messages, mask), messages[name])
    alone = mean_fusion().aggregate({name: messages[name]}, mask)
    assert torch.equal(alone, messages[name])


@some
@given(masks)
def test_the_aggregate_is_the_mean_of_what_is_available(mask: Tensor) -> None:
    """Eq. 17, row by row."""
    messages = messages_for(len(mask))
    aggregate = mean_fusion().aggregate(messages, mask)
    for i, row in enumerate(mask.tolist()):
        kept = [messages[n][i] for n, seen in zip(DIMS, row, strict=True) if seen]
        if kept:
            torch.testing.assert_close(aggregate[i], sum(kept) / len(kept))
        else:
            assert aggregate[i].isfinite().all()


@some
@given(masks, st.permutations(range(3)))
def test_the_mean_is_permutation_invariant(mask: Tensor, order: list[int]) -> None:
    """Which modality a message comes from makes no difference to the aggregate."""
    messages = messages_for(len(mask))
    names = list(DIMS)
    swapped = {names[i]: messages[names[j]] for i, j in enumerate(order)}
    torch.testing.assert_close(
        mean_fusion().aggregate(swapped, mask[:, order]),
        mean_fusion().aggregate(messages, mask),
    )


@some
@given(masks, st.sampled_from(["mean", "zero", "learned", "mask"]))
def test_nothing_flows_to_or_from_masked_messages(mask: Tensor, kind: str) -> None:
    fusion = (
        mean_fusion() if kind == "mean" else ConcatFusion(DIMS, 4, WIDTH, fill=kind)
    )
    messages = messages_for(len(mask))
    for column, message in enumerate(messages.values()):
        message[~mask[:, column]] = float("nan")
        message.requires_grad_()
    aggregate = fusion.aggregate(messages, mask)
    assert aggregate.isfinite().all()
    aggregate.sum().backward()
    for column, message in enumerate(messages.values()):
        reached = message.grad.abs().sum(1) > 0
        assert torch.equal(reached, mask[:, column])


@pytest.mark.parametrize("fill", ["zero", "learned", "mask"])
def test_concatenation_keeps_each_message_in_its_place(fill: str) -> None:
    fusion = ConcatFusion(DIMS, 4, WIDTH, fill=fill)
    if fill == "learned":
        fusion.fill.data.uniform_(1, 2)
    messages = messages_for(2)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    aggregate = fusion.aggregate(messages, mask)
    first, second = aggregate[:, : 3 * WIDTH].reshape(2, 3, WIDTH)
    assert torch.equal(first, torch.stack([messages[name][0] for name in DIMS]))
    assert torch.equal(second[0], messages["a"][1])
    assert torch.equal(second[1:], fusion.fill[1:])
    appended = aggregate[:, 3 * WIDTH :]
    assert torch.equal(appended, mask.float() if fill == "mask" else mask[:, :0])


@pytest.mark.parametrize("fill", ["zero", "learned", "mask"])
def test_a_message_left_out_equals_a_masked_one(fill: str) -> None:
    fusion = ConcatFusion(DIMS, 4, WIDTH, fill=fill)
    if fill == "learned":
        fusion.fill.data.uniform_(1, 2)
    messages = messages_for(2)
    mask = torch.tensor([[True, False, True], [True, False, False]])
    without = {name: m for name, m in messages.items() if name != "b"}
    assert torch.equal(
        fusion.aggregate(without, mask), fusion.aggregate(messages, mask)
    )


def test_only_learned_fills_are_trained() -> None:
    trained = {}
    for fill in ("zero", "learned", "mask"):
        fusion = ConcatFusion(DIMS, 4, WIDTH, fill=fill)
        trained[fill] = fusion.fill.requires_grad
        assert fusion.fill.count_nonzero() == 0
    assert trained == {"zero": False, "learned": True, "mask": False}
    mask = torch.tensor([[True, False, True]])
    fusion = ConcatFusion(DIMS, 4, WIDTH, fill="learned")
    fusion.aggregate(messages_for(1), mask).sum().backward()
    assert fusion.fill.grad.abs().sum(1).tolist() == [0, WIDTH, 0]
