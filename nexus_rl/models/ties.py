"""What a model has under several names: networks, or parts of them, that it shares."""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce

from torch import nn

from nexus_rl.errors import UserError

Ties = Mapping[str, str]


def find_ties(model: nn.Module) -> dict[str, str]:
    """The first name of each module and tensor that has several, by its later names.

    What is within a module that is named here as a whole is not named again.
    """
    ties: dict[str, str] = {}
    first: dict[int, str] = {}
    tensors = model.state_dict(keep_vars=True)
    for name, thing in [*model.named_modules(remove_duplicate=False), *tensors.items()]:
        if resolve(name, ties) != name:
            continue
        known = first.setdefault(id(thing), name)
        if known != name and not _stateless(thing):
            ties[name] = known
    return ties


def _stateless(thing: object) -> bool:
    return isinstance(thing, nn.Module) and not thing.state_dict()


def resolve(name: str, ties: Ties) -> str:
    """The first name of the tensor called ``name``."""
    for later, first in ties.items():
        if name == later or name.startswith(f"{later}."):
            return first + name.removeprefix(later)
    return name


def tie(model: nn.Module, ties: Ties) -> None:
    """Gives ``model`` the ``ties`` that were found in the one it is a copy of.

    Raises ``UserError`` for names that it does not have, or that cannot be one, and
    where it shares more than that.
    """
    modules = [name for name, _ in model.named_modules(remove_duplicate=False)]
    order = {name: k for k, name in enumerate([*modules, *model.state_dict()])}
    for later, first in ties.items():
        before, place = order.get(first, 0), order.get(later, 0)
        alike = (before < len(modules)) == (place < len(modules))
        # A module within itself would have no end.
        if not (0 < before < place and alike) or later.startswith(f"{first}."):
            raise UserError(f"{later!r} cannot be shared with {first!r} in this model")
        owner, _, leaf = later.rpartition(".")
        try:
            setattr(
                model.get_submodule(owner),
                leaf,
                reduce(getattr, first.split("."), model),
            )
        except (AttributeError, KeyError, TypeError) as error:
            raise UserError(f"{later!r} cannot be {first!r}: {error}") from None
    if changed := find_ties(model).items() ^ ties.items():
        names = ", ".join(sorted({later for later, _ in changed}))
        raise UserError(f"other parts are shared than in the saved model: {names}")
