"""Curves and maps, drawn with Matplotlib in one style; what scripts draw pictures of their own with."""

from importlib import import_module
from typing import Any

# Each is imported when it is first used, as drawings need the colours alone, and Matplotlib takes long to import.
_HOMES = {
    name: home
    for home, names in {
        "colours": ["ALARM", "GREY", "INK", "styles"],
        "curves": ["along_time", "level", "log_scale", "plain_axes", "plot_decay"],
        "figures": ["Canvas", "save"],
        "legends": ["head", "legend", "legend_below", "title", "visible"],
        "maps": ["plot_heat_map"],
        "style": ["in_style"],
    }.items()
    for name in names
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
