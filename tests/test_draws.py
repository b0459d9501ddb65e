"""Noise that depends on its key alone, not on how many processes share a batch."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nexus_rl.draws import Draws, seeded

CPU = torch.device("cpu")

keys = st.lists(st.integers(0, 2**40), min_size=1, max_size=4).map(tuple)


def stream(generator: torch.Generator) -> list[float]:
    return torch.rand(4, generator=generator).tolist()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=5),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 2**32),
)
def test_shares_are_slices_of_the_whole_draw(
    shares: list[int], columns: int, passes: int, seed: int
) -> None:
    """Each process draws in turn for its own rows; together they are the batch, and
    also where one draw is for several passes over it."""
    total = sum(shares)
    whole = Draws(seeded(seed))
    parts, start = [], 0
    for rows in shares:
        parts.append(Draws(seeded(seed), (start, start + rows, total)))
        start += rows
    for kind in ("normal", "uniform", "normal"):  # and they stay in step

        def draw(draws: Draws, rows: int, kind: str = kind) -> Tensor:
            if kind == "uniform":
                drawn = draws.uniform(passes * rows, columns, CPU)
            else:
                drawn = draws.normal(torch.empty(passes * rows, columns, 2))
            return drawn.view(passes, rows, *drawn.shape[1:])

        each = [draw(d, n) for d, n in zip(parts, shares, strict=True)]
        assert torch.equal(torch.cat(each, 1), draw(whole, total))


def test_a_share_of_another_size_is_an_error() -> None:
    with pytest.raises(ValueError, match="a share of 2 rows was asked for 3"):
        Draws(seeded(0), (1, 3, 4)).normal(torch.empty(3, 1))


def test_what_is_drawn() -> None:
    draws = Draws(seeded(0))
    normal = draws.normal(torch.empty(20_000, 2))
    assert normal.mean().item() == pytest.approx(0, abs=0.02)
    assert normal.std().item() == pytest.approx(1, abs=0.02)
    uniform = draws.uniform(20_000, 2, CPU)
    assert uniform.shape == (20_000, 2)
    assert 0 <= uniform.min() < 0.001
    assert 0.999 < uniform.max() < 1
    assert uniform.mean().item() == pytest.approx(0.5, abs=0.01)
    assert not torch.equal(draws.uniform(5, 2, CPU), draws.uniform(5, 2, CPU))


@settings(max_examples=50, deadline=None)
@given(keys, keys)
def test_streams_are_equal_where_keys_are(
    a: tuple[int, ...], b: tuple[int, ...]
) -> None:
    if len(a) != len(b):  # keys of one kind have one length
        b = a
    assert (stream(seeded(*a)) == stream(seeded(*b))) == (a == b)


def test_every_number_of_a_key_counts_and_so_does_its_place() -> None:
    found = [
        stream(seeded(*key)) for key in ((1, 2), (2, 1), (1, 1), (2, 2), (1, 2, 3))
    ]
    assert len({tuple(numbers) for numbers in found}) == 5


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    Draws(seeded(1)).normal(torch.empty(3, 2))
    assert torch.equal(torch.get_rng_state(), before)
