"""Facts on record in the place of values that are too large, as `slipway.media.summary` makes."""

from typing import Any


def is_media(value: Any) -> bool:
    """Return whether the value stands for a picture, sound, a video, a document or state."""
    return isinstance(value, dict) and {"sha256", "bytes"} <= value.keys()


def is_cut_text(value: Any) -> bool:
    """Return whether the value is the beginning of a text that was too long."""
    return isinstance(value, dict) and value.keys() == {"length", "text"}


def is_cut_list(value: Any) -> bool:
    """Return whether the value is the beginning of a list that was too long."""
    return isinstance(value, dict) and value.keys() == {"count", "first"}


def has_facts(value: Any) -> bool:
    """Return whether the value is facts or contains some."""
    if isinstance(value, list):
        return any(map(has_facts, value))
    return isinstance(value, dict) and (is_facts(value) or any(map(has_facts, value.values())))


def is_facts(value: Any) -> bool:
    """Return whether the value stands for media, or for a text or list that was too long."""
    return is_media(value) or is_cut_text(value) or is_cut_list(value)
