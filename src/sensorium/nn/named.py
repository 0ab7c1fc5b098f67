"""Modules under any name, even one that `nn.ModuleDict` refuses; each is stored once, however many names it has."""

from collections.abc import Iterator

from torch import nn


class Named(nn.Module):
    """A name -> module table for names that a user chose, among them `type`, `items` and `a.b`. A module given under
    two names is stored once, so its weights are shared and saved once."""

    def __init__(self, modules: dict[str, nn.Module]):
        super().__init__()
        once = list({id(module): module for module in modules.values()}.values())
        numbers = {id(module): number for number, module in enumerate(once)}
        self.parts = nn.ModuleList(once)
        self.index = {name: numbers[id(module)] for name, module in modules.items()}

    @property
    def names(self) -> list[str]:
        """The names, in the order they were given."""
        return list(self.index)

    @property
    def modules_once(self) -> list[nn.Module]:
        """Each module once; `index` gives the position of a name's module in this list."""
        return list(self.parts)

    def items(self) -> Iterator[tuple[str, nn.Module]]:
        """Name and module, in the order they were given; a shared module comes once for each of its names."""
        return ((name, self.parts[number]) for name, number in self.index.items())

    def __getitem__(self, name: str) -> nn.Module:
        return self.parts[self.index[name]]

    def __contains__(self, name: object) -> bool:
        return name in self.index

    def __len__(self) -> int:
        return len(self.index)

    def replace(self, name: str, module: nn.Module) -> None:
        """Puts `module` in the place of the one that has this name, and every name that shares it."""
        self.parts[self.index[name]] = module
