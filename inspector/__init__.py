"""The eyes: draws the graph of a recurrent run and measures where in time its gradient survives."""

import sys
from _thread import RLock
from importlib import import_module

# What is public is imported when it is first used, because Matplotlib and NetworkX take longer than most commands do.
# The one list of names is `__init__.pyi`. Nothing else may be imported here: under `python -m` it would come from the
# current directory.
_HOMES = {
    name: module
    for line in __spec__.loader.get_data(f"{__path__[0]}/__init__.pyi").decode().splitlines()
    if line.startswith("from ")
    for _, module, _, name, *_ in [line.split()]
}
__all__ = sorted(_HOMES)
_LOCK = RLock()  # or threads that begin together would see modules that are half imported


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    with _LOCK:
        value = getattr(import_module(_HOMES[name], __name__), name)
    setattr(sys.modules[__name__], name, value)
    return value


def __dir__():
    return __all__
