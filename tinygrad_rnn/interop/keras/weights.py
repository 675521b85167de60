"""Which array of a file belongs to which variable: by place in a .keras file, by layer and order in an .h5."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..weights import printable
from .hdf5 import Folder, read, strings
from .layer import Array, KerasLayer, Variable
from .network import Network

__all__ = ["arrays_of"]

_OLDER = {f"{part}_dense": f"_{part}_dense" for part in ("key", "output", "query", "value")}
"""Attributes that had other names in earlier versions."""


def arrays_of(name: str, model: Network, weights: Folder, is_legacy: bool) -> dict[str, Array]:
    """The numbers of every variable that is used, by its name.

    Raises
    ------
    ValueError
        If a layer has no weights in the file, weights have no layer, or a shape differs.
    """
    pairs = _listed(name, model, weights) if is_legacy else _placed(name, model, weights)
    found: dict[str, Array] = {}
    for variable, dataset in pairs:
        array = read(f"{printable(name)}: {printable(variable.name)}", dataset, variable.shape)
        if variable.used:
            if array.dtype.kind != "f":
                raise ValueError(f"{printable(name)}: {printable(variable.name)} holds {array.dtype}, no real numbers")
            found[variable.name] = array
    return found


# ------------------------------------------------------------------------------------------ .keras


def _placed(name: str, model: Network, weights: Folder) -> list[tuple[Variable, Any]]:
    arrays = weights.everything()
    tops = {path.split("/")[0] for path in arrays}
    root = (
        "layers"
        if "layers" in tops or "_layer_checkpoint_dependencies" not in tops
        else "_layer_checkpoint_dependencies"
    )
    seen: set[int] = set()
    pairs = []
    for variable, layer, path in _places(model, "", root, seen, arrays):
        if path not in arrays:
            raise ValueError(
                f"{printable(name)}: layer {printable(layer.path)} ({layer.kind}) has no weights in the file for"
                f" {printable(variable.name)} {variable.shape}, which would be at {printable(path)}"
            )
        pairs.append((variable, arrays.pop(path)))
    left = [
        path
        for path in arrays
        if path.startswith(f"{root}/") and "/seed_generator/" not in path and "/rnn_state" not in path
    ]
    left += [path for path in arrays if path.startswith("vars/")]
    if left:
        raise ValueError(
            f"{printable(name)}: the weights at {printable(left[0])} belong to no layer ({len(left)} such)"
        )
    return pairs


def _places(
    layer: KerasLayer, path: str, root: str, seen: set[int], arrays: Any
) -> Iterator[tuple[Variable, KerasLayer, str]]:
    """Every variable with the place where Keras keeps it; what is shared stands where it is met first."""
    if id(layer) in seen:
        return
    seen.add(id(layer))
    start = f"{path}/" if path else ""
    for k, variable in enumerate(layer.variables.values()):
        yield variable, layer, f"{start}vars/{k}"
    if isinstance(layer, Network):
        yield from _numbered(layer.tracked, f"{start}{root}", root, seen, arrays)
    for key, part in layer.parts.items():
        if isinstance(part, list):
            yield from _numbered(part, f"{start}{key}", root, seen, arrays)
        else:
            older = f"{start}{_OLDER.get(key, key)}"
            place = older if any(other.startswith(f"{older}/") for other in arrays) else f"{start}{key}"
            yield from _places(part, place, root, seen, arrays)


def _numbered(layers: list[Any], path: str, root: str, seen: set[int], arrays: Any) -> Iterator[Any]:
    """Layers in a list are called by class and count, whatever their names."""
    counts: dict[str, int] = {}
    for layer in layers:
        base = _snake(layer.kind)
        count = counts[base] = counts.get(base, -1) + 1
        yield from _places(layer, f"{path}/{base}_{count}" if count else f"{path}/{base}", root, seen, arrays)


def _snake(name: str) -> str:
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


# --------------------------------------------------------------------------------------------- .h5


def _listed(name: str, model: Network, weights: Folder) -> list[tuple[Variable, Any]]:
    names = strings(name, weights.group, "layer_names")
    layers = {layer.name: layer for layer in model.tracked}
    pairs: list[tuple[Variable, Any]] = []
    for layer_name in names:
        said = f"{printable(name)}: layer {printable(layer_name)}"
        folder = _inside(weights, layer_name)
        if folder is None:
            raise ValueError(f"{said} has no group in the file")
        stored = strings(name, folder.group, "weight_names")
        layer = layers.pop(layer_name, None)
        variables = [] if layer is None else list(layer.all_variables())
        variables = [v for v in variables if v.trainable] + [v for v in variables if not v.trainable]
        if len(variables) != len(stored):
            raise ValueError(
                f"{said} has {len(stored)} weights in the file ({printable(', '.join(stored)) or 'none'}), must have"
                f" {len(variables)} ({', '.join(printable(v.name) for v in variables) or 'none'})"
            )
        for variable, path in zip(variables, stored, strict=True):
            if path.rpartition("/")[2].partition(":")[0] != variable.base:
                raise ValueError(f"{said} has {printable(path)} in the file where {printable(variable.name)} must be")
            array = folder.everything().get(path)
            if array is None:
                raise ValueError(f"{said} has no {printable(path)} in the file")
            pairs.append((variable, array))
    missing = [layer for layer in layers.values() if any(True for _ in layer.all_variables())]
    if missing:
        raise ValueError(
            f"{printable(name)}: layer {printable(missing[0].path)} ({missing[0].kind}) has no weights in the file"
        )
    more = weights.folders.get("top_level_model_weights")
    if more is not None and more.everything():
        raise ValueError(f"{printable(name)} has weights that belong to no layer (top_level_model_weights)")
    return pairs


def _inside(folder: Folder, path: str) -> Folder | None:
    """A folder by its path; the names of layers may have slashes."""
    found: Folder | None = folder
    for name in path.split("/"):
        found = None if found is None else found.folders.get(name)
    return found
