"""Modules by the names of modalities, which may hold dots."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView

from torch import nn


class NamedModules(nn.ModuleDict):
    """A ``ModuleDict`` that takes dots in its keys.

    PyTorch joins names of modules by dots, so weights of "robot.arm" are kept under
    "robot%arm"; no modality has such a name of its own.
    """

    def __getitem__(self, key: str) -> nn.Module:
        return super().__getitem__(_stored(key))

    def __setitem__(self, key: str, module: nn.Module) -> None:
        super().__setitem__(_stored(key), module)

    def __delitem__(self, key: str) -> None:
        super().__delitem__(_stored(key))

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and _stored(key) in self._modules

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> KeysView[str]:
        return self._by_name().keys()

    def items(self) -> ItemsView[str, nn.Module]:
        return self._by_name().items()

    def _by_name(self) -> dict[str, nn.Module]:
        modules = super().items()
        return {key.replace("%", "."): module for key, module in modules}


def _stored(name: str) -> str:
    return name.replace(".", "%")
