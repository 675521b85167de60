"""Reverse-mode autodiff on NumPy that builds explicit graphs of recurrent networks over time."""

from _thread import RLock
from importlib import import_module

__version__ = "0.1.0"

# What is public is imported when it is first used: whoever runs a cell waits for no compiler, task or optimiser. The
# one list of names is `__init__.pyi`; its stars stand for what the module lists in `__all__`.
_IMPORTS = [
    (module, name)
    for line in __spec__.loader.get_data(f"{__path__[0]}/__init__.pyi").decode().splitlines()
    if line.startswith("from ")
    for _, module, _, name, *_ in [line.split()]
]
_LOCK = RLock()  # or threads that begin together would see modules that are half imported


def __getattr__(name):
    if name == "__all__":
        return __dir__()
    with _LOCK:
        for module, listed in () if name.startswith("_") else _IMPORTS:
            if listed == name or (listed == "*" and name in import_module(module, __name__).__all__):
                globals()[name] = value = _found(module, name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _found(module, name):
    """What stands in a module by that name, or the module of that name beside it."""
    home = {} if module == "." else vars(import_module(module, __name__))
    return home[name] if name in home else import_module(f"{module.rstrip('.')}.{name}", __name__)


def __dir__():
    stars = {module for module, name in _IMPORTS if name == "*"}
    names = [name for module in stars for name in import_module(module, __name__).__all__]
    return sorted([*names, *(name for _, name in _IMPORTS if name != "*")])
