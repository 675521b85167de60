"""How numbers, indices and widths read."""

from __future__ import annotations

import math
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.text import label_width, number, oval_width, percent, subscript, superscript, visible


@given(st.integers())
def test_digits_are_lowered_and_raised_and_read_back(value: int) -> None:
    for write, minus in ((subscript, "₋"), (superscript, "⁻")):
        digits = write(value)
        assert int(unicodedata.normalize("NFKC", digits.replace(minus, "-"))) == value
        assert not set(digits) & set("-0123456789")


def test_what_cannot_be_lowered_stands_after_a_sign() -> None:
    assert (subscript("ij"), subscript("f"), superscript("T"), superscript("ih")) == ("ᵢⱼ", "_f", "^T", "ⁱʰ")


@given(st.text())
def test_what_is_visible_controls_nothing(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable() and len(shown) == len(text) and visible(shown) == shown
    assert [a for a, b in zip(text, shown, strict=True) if a == b] == [c for c in text if c.isprintable()]
    assert visible(text, "\n").count("\n") == text.count("\n")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_keeps_three_digits(value: float) -> None:
    mantissa, _, power = number(value).partition("×10")
    exponent = int(unicodedata.normalize("NFKC", power.replace("⁻", "-") or "0"))
    assert float(f"{mantissa}e{exponent}") == pytest.approx(value, rel=5.001e-3, abs=0)


def test_numbers_that_are_none_and_shares() -> None:
    assert [number(one) for one in (0.0, math.inf, math.nan, 0.001, 9999.0, 1e4, 9987.0)] == [
        "0", "inf", "nan", "0.001", "1.00×10⁴", "1.00×10⁴", "9990",
    ]  # fmt: skip
    assert [number(one, 2) for one in (1.9e-4, 0.0072, 0.16, 2.0, 33.3, 1234.0, 2e-10)] == [
        "1.9×10⁻⁴", "0.0072", "0.16", "2", "33", "1200", "2.0×10⁻¹⁰",
    ]  # fmt: skip
    assert [percent(share) for share in (0.0, 0.126, 1.0, -0.2, -1e-16)] == ["0 %", "13 %", "100 %", "-20 %", "0 %"]


@given(st.text(max_size=20), st.text(max_size=20), st.floats(6, 20))
def test_a_label_is_as_wide_as_its_characters_and_an_oval_wider(a: str, b: str, size: float) -> None:
    assert label_width(a + b, size) == pytest.approx(label_width(a, size) + label_width(b, size))
    assert label_width(a, 2 * size) == pytest.approx(2 * label_width(a, size))
    assert oval_width(a, size, 2 * size) > label_width(a, size)
