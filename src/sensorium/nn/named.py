"""Modules found by any name, even one that `nn.ModuleDict` refuses, and stored once however many names they have."""

from collections.abc import Iterator

from torch import nn


class Named(nn.Module):
    """A name -> module table for names a person chose: `type`, `items` and `a.b` are as good as any.

    A module given under two names is stored once, so its weights are shared and saved once.
    """

    def __init__(self, modules: dict[str, nn.Module]):
        super().__init__()
        once = list({id(module): module for module in modules.values()}.values())
        places = {id(module): place for place, module in enumerate(once)}
        self.parts = nn.ModuleList(once)
        self.index = {name: places[id(module)] for name, module in modules.items()}

    @property
    def names(self) -> list[str]:
        """The names, in the order they were given."""
        return list(self.index)

    @property
    def modules_once(self) -> list[nn.Module]:
        """Each module once; `index` says at which place of this list a name's module stands."""
        return list(self.parts)

    def items(self) -> Iterator[tuple[str, nn.Module]]:
        """Name and module, in the order they were given; a shared module comes once under each of its names."""
        return ((name, self.parts[place]) for name, place in self.index.items())

    def __getitem__(self, name: str) -> nn.Module:
        return self.parts[self.index[name]]

    def __contains__(self, name: object) -> bool:
        return name in self.index

    def __len__(self) -> int:
        return len(self.index)
