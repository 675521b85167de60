"""Names of a package that are imported when they are first used: Matplotlib takes longer than most commands do.

Nothing else may be imported here: under `python -m` it would come from the current directory.
"""

from _thread import RLock
from importlib import import_module

_LOCK = RLock()  # or threads that begin together would see modules that are half imported


def exports(package):  # type: ignore[no-untyped-def]
    """The `__all__`, `__getattr__` and `__dir__` of a package with the namespace `package`, from its `__init__.pyi`,
    which is the one list of its names.
    """
    listed = package["__spec__"].loader.get_data(f"{package['__path__'][0]}/__init__.pyi").decode()
    homes = {
        name: module
        for line in listed.splitlines()
        if line.startswith("from ")
        for _, module, _, name, *_ in [line.split()]
    }

    def find(name):  # type: ignore[no-untyped-def]
        if name not in homes:
            raise AttributeError(f"module {package['__name__']!r} has no attribute {name!r}")
        with _LOCK:
            package[name] = value = getattr(import_module(homes[name], package["__name__"]), name)
        return value

    names = sorted(homes)
    return names, find, lambda: names
