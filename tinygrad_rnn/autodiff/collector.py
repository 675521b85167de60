"""Python's garbage collector, held while a graph is built or gone through."""

from __future__ import annotations

import gc

__all__ = ["without_collections"]


class without_collections:
    """No garbage collection in a block, which makes many objects and no cycles.

    The collector comes after every 700 new objects, those of a graph among them, and in the end to all objects of the
    process: with other libraries loaded that took two thirds of a run of a thousand steps. Reference counts free what
    they always do; cycles that the block makes, or another thread meanwhile, are found after it. Whoever has switched
    the collector off finds it so.
    """

    __slots__ = ("_held",)

    def __enter__(self) -> None:
        self._held = gc.isenabled()
        gc.disable()

    def __exit__(self, *error: object) -> None:
        if self._held:
            gc.enable()
