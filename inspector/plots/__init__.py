"""Curves and maps, drawn with Matplotlib in one style; what scripts draw pictures of their own with."""

from importlib import import_module
from typing import Any

# Each is imported when it is first used, as Matplotlib takes long to import.
_HOMES = {
    name: home
    for home, names in {
        "inspector.picture.theme": ["ALARM", "GREY", "INK"],
        "inspector.picture.curve_styles": ["styles"],
        "inspector.plots.curves": ["along_time", "level", "log_scale", "plain_axes", "plot_decay"],
        "inspector.plots.figures": ["Canvas", "save"],
        "inspector.plots.legends": ["head", "legend", "legend_below", "title", "visible"],
        "inspector.plots.maps": ["plot_heat_map"],
        "inspector.plots.style": ["in_style"],
    }.items()
    for name in names
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
