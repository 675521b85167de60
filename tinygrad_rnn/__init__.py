"""Reverse-mode autodiff on NumPy that builds explicit graphs of recurrent networks over time."""

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


def __getattr__(name):
    if name == "__all__":
        return __dir__()
    for module, listed in () if name.startswith("_") else _IMPORTS:
        if listed == name or (listed == "*" and name in import_module(module, __name__).__all__):
            value = import_module(f".{name}" if module == "." else module, __name__)
            globals()[name] = value = value if module == "." else getattr(value, name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    stars = {module for module, name in _IMPORTS if name == "*"}
    names = [name for module in stars for name in import_module(module, __name__).__all__]
    return sorted([*names, *(name for _, name in _IMPORTS if name != "*")])
