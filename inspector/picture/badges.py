"""What tells of numbers that are no ordinary ones: badges on shapes whose value is not finite, or whose gradient
is 0, not finite or not there, and a line above all.
"""

from __future__ import annotations

import textwrap

from . import theme
from .picture import Picture, Shape

__all__ = ["BADGES", "add_badges", "add_warning"]

BADGES = {
    "on-none": ("0", "gradient exactly 0", 1),
    "on-bad": ("!", "gradient not finite", 1),
    "on-unreached": ("–", "no gradient: the loss does not depend on it", 1),
    "ill": ("×", "value not finite", -1),
}
"""CSS class of the shape to what its badge shows and means, and where it sits: on the right what tells of the
gradient.
"""
_SIZE = 15.0


def add_badges(picture: Picture) -> None:
    """Put badges on the upper corners of every shape that needs them."""
    for shape in list(picture.shapes):
        for css in BADGES.keys() & shape.css.split():
            label, says, side = BADGES[css]
            reach = 0.36 if shape.kind in ("circle", "ellipse") else 0.5
            x, y = shape.x + side * reach * shape.width, shape.y + reach * shape.height
            picture.shapes.append(
                Shape(
                    f"{shape.id}.{'badge' if side > 0 else 'ill'}",
                    "circle",
                    x,
                    y,
                    _SIZE,
                    _SIZE,
                    label,
                    theme.paint("badge"),
                    "badge",
                    says,
                    11,
                    0.8,
                )
            )


def add_warning(picture: Picture, says: str) -> None:
    """A sentence above the title, in as many lines as the drawing is wide for."""
    title = next(shape for shape in picture.shapes if shape.id == "title")
    right = max(shape.x + shape.width / 2 for shape in picture.shapes)
    left, y = title.x - title.width / 2, max(shape.y + shape.height / 2 for shape in picture.shapes)
    lines = textwrap.wrap(says, max(40, int((right - left) / theme.label_width("n", 12))))
    for k, line in enumerate(reversed(lines)):
        width = theme.label_width(line, 12) + 20
        picture.shapes.append(
            Shape(
                f"not-finite.{len(lines) - k}",
                "text",
                left + width / 2,
                y + 14 + 18 * k,
                width,
                18,
                line,
                theme.paint("warning"),
                "warning",
                says,
                12,
                align="start",
            )
        )
