"""Explanations as sentences, for readers who do not know the methods."""

from typing import Any

from services.explain.importance import Contrast
from slipway.explain import Explanation


def number(value: float, *, share: bool) -> str:
    """Format a number: `38 %` for a share, `181,000` for another number."""
    return f"{100 * value:.0f} %" if share else _plain(value)


def effect(value: float, what: str, *, share: bool) -> str:
    """Return `raises the probability by 3.2 points`, or `hardly moves ...` if that rounds to 0."""
    size = f"{100 * abs(value):.1f}" if share else _plain(abs(value))
    if float(size.replace(",", "")) == 0:
        return f"hardly moves the {_name(what)}"
    verb = "raises" if value > 0 else "lowers"
    return f"{verb} the {_name(what)} by {size}{' points' if share else ''}"


def headline(explanation: Explanation, *, share: bool) -> str:
    """Return the first sentence: the prediction for this record, and the average prediction."""
    value, base = (number(each, share=share) for each in (explanation.value, explanation.base))
    what = _name(explanation.explained)
    return f"The {what} for this record is {value}; on average it is {base}."


def reason(
    field: str, value: Any, usual: Any, contribution: float, what: str, *, share: bool
) -> str:
    """Return what one field contributed to one prediction."""
    return f"{_subject(field, value, usual)} {effect(contribution, what, share=share)}."


def general(found: Contrast, what: str, *, share: bool) -> str:
    """Return what a change of one field does to predictions on average."""
    change = f"{effect(found.change, what, share=share)} on average"
    if _is_number(found.other) and _is_number(found.usual):
        off = _off(found.other, found.usual)
        return f"{_article(found.field)} {off} {change}."
    other, usual = _value(found.other), _value(found.usual)
    return f"{_name(found.field).capitalize()} {other} instead of the usual {usual} {change}."


def _subject(field: str, value: Any, usual: Any) -> str:
    if value is None:
        return f"That {_name(field)} is unknown"
    if not (_is_number(value) and _is_number(usual)):
        return f"{_name(field).capitalize()} {_value(value)}"
    if value == usual:
        return f"{_article(field)} of {_plain(value)}, which is usual,"
    return f"{_article(field)} of {_plain(value)}, {_off(value, usual)},"


def _off(value: float, usual: float) -> str:
    side = "above" if value > usual else "below"
    return f"{_plain(abs(value - usual))} {side} the usual {_plain(usual)}"


def _article(field: str) -> str:
    name = _name(field)
    if name.endswith(("s", "children")):
        return name.capitalize()
    return f"An {name}" if name[0] in "aeio" else f"A {name}"


def _name(field: str) -> str:
    return field.replace("_", " ")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _plain(value: float) -> str:
    if isinstance(value, int) and abs(value) < 10_000:
        return str(value)  # a year has no thousands separator
    if abs(value) >= 1000:
        # Three significant digits.
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def _value(value: Any) -> str:
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = _plain(value) if _is_number(value) else " ".join(str(value)[:200].split())
    return text if len(text) <= 40 else f"{text[:37]}..."
