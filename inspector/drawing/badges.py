"""Badges on shapes whose gradient is no ordinary number: exactly zero, not finite, or not there at all."""

from __future__ import annotations

from . import theme
from .picture import Picture, Shape

__all__ = ["BADGES", "add_badges"]

BADGES = {
    "on-none": ("0", "gradient exactly 0"),
    "on-bad": ("!", "gradient not finite"),
    "on-unreached": ("–", "no gradient: the loss does not depend on it"),
}
"""CSS class of the shape to what its badge shows and means."""
_SIZE = 15.0


def add_badges(picture: Picture) -> None:
    """Put a badge on the upper right corner of every shape that needs one."""
    for shape in list(picture.shapes):
        for css in BADGES.keys() & shape.css.split():
            label, says = BADGES[css]
            reach = 0.36 if shape.kind in ("circle", "ellipse") else 0.5
            x, y = shape.x + reach * shape.width, shape.y + reach * shape.height
            picture.shapes.append(
                Shape(f"{shape.id}.badge", "circle", x, y, _SIZE, _SIZE, label, theme.paint("badge"), "badge", says, 11, 0.8)
            )  # fmt: skip
