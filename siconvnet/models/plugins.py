"""What installed packages add by an entry point: known by name at once, imported when it is used.

``stir.catalogue.plugins`` is its twin: neither package may import the other.
"""

import logging
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import metadata
from typing import TypeVar

T = TypeVar("T")
log = logging.getLogger("siconvnet")


class PluginError(ValueError):
    """An entry point of an installed package that cannot be used."""


class Known(Mapping[str, T]):
    """Things by name: the registered ones, then those that installed packages add.

    An entry point of ``group`` has the name of a thing and refers to the module that registers it.
    Neither ``in`` nor iteration imports that module; a look-up does, and raises PluginError, in one
    sentence, where that fails. All other names go on working.
    """

    def __init__(self, registered: Mapping[str, T], *, group: str) -> None:
        self._registered, self._ours, self.group = registered, frozenset(registered), group

    def __getitem__(self, name: str) -> T:
        if name not in self._registered and name in self.installed:
            self._load(name)
        return self._registered[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._registered, *self.installed]))

    def __len__(self) -> int:
        return len({*self._registered, *self.installed})

    def __contains__(self, name: object) -> bool:
        return name in self._registered or name in self.installed

    @cached_property
    def installed(self) -> Mapping[str, tuple[metadata.EntryPoint, ...]]:
        """The entry points of installed packages by name, as they were at the first question."""
        found: dict[str, tuple[metadata.EntryPoint, ...]] = {}
        for point in metadata.entry_points(group=self.group):
            if point.name in self._ours:
                log.warning(
                    "A name in %s must not be one of this software's own; %r of %s is left out.",
                    *(self.group, point.name, package(point)),
                )
            else:
                found[point.name] = (*found.get(point.name, ()), point)
        return found

    def _load(self, name: str) -> None:
        point, *others = self.installed[name]
        where = f"{name!r} in {self.group}"
        if others:
            packages = " and ".join(map(package, (point, *others)))
            raise PluginError(f"One installed package must add {where}; {packages} do.")
        try:
            point.load()
        except (Exception, SystemExit) as error:  # whatever a user's module raises
            raise PluginError(
                f"The module {point.module} of {package(point)} must be importable to add {where}; "
                f"importing it gave {type(error).__name__}: {' '.join(str(error).split())}."
            ) from error
        if name not in self._registered:
            raise PluginError(
                f"The module {point.module} of {package(point)} must register what its entry point "
                f"names, {where}; it does not."
            )


def package(point: metadata.EntryPoint) -> str:
    """The name and version of the package that an entry point belongs to."""
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unnamed package"
