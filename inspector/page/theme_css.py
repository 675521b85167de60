"""The colours of the theme as CSS variables, light and dark in one: a page has no second palette to keep in step."""

from __future__ import annotations

from functools import lru_cache

from ..picture import theme
from ..steps.items import Gate

__all__ = ["hue_of", "theme_css"]

HUES = tuple(dict.fromkeys((*theme.GATES.values(), *theme.SPARE)))


def hue_of(gate: str, gates: tuple[str, ...]) -> int:
    """The number of a gate's colours among all that gates have."""
    found = theme.paint(Gate(gate), gates)
    return HUES.index(found) if found in HUES else HUES.index(theme.SLATE)


@lru_cache(maxsize=1)
def theme_css() -> str:
    """Variables, and the rules that colour shapes, lines and scales by them."""
    names = {
        "ink": (theme.INK, theme.DARK_INK),
        "paper": (theme.PAPER, theme.DARK_PAPER),
        "quiet": (theme.GREY, theme.ROLES["shared"].dark_stroke),
        **{f"line-{kind}": pair for kind, pair in theme.LINES.items()},
        **{f"c{k}": pair for k, pair in enumerate(theme.CURVES)},
        **{f"v{k}": pair for k, pair in enumerate(theme.VALUES)},
        **{f"g{k}": (light, dark) for k, (light, _, dark) in enumerate(theme.GRADIENT)},
    }
    rules = []
    paints = {**theme.ROLES, **{f"hue{k}": paint for k, paint in enumerate(HUES)}}
    for name, paint in paints.items():
        names[f"{name}-fill"], names[f"{name}-stroke"] = paint[::2], paint[1::2]
        rules.append(f".cell .{name} .body{{fill:var(--{name}-fill);stroke:var(--{name}-stroke)}}")
    for k in range(len(theme.GRADIENT)):
        rules += [
            f".g{k} .ink{{stroke:var(--g{k});stroke-width:var(--w{k})}}",
            f".g{k} .head{{fill:var(--g{k})}}",
            f".cell .on-g{k} .body{{stroke:var(--g{k})}}",
            f".scale i:nth-child({k + 1}){{background:var(--g{k})}}",
        ]
    variables = [f"--{name}:light-dark({light},{dark})" for name, (light, dark) in names.items()]
    variables += [f"--w{k}:{width}px" for k, (_, width, _) in enumerate(theme.GRADIENT)]
    return ".page{" + ";".join(variables) + "}\n" + "\n".join(rules) + "\n"
