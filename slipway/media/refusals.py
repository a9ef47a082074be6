"""The messages of media fields about content that they refuse."""

DAMAGED = "is damaged or cut off"


class Refused(ValueError):
    """Content that a field does not accept; the message is written for the caller."""


def one_of(names: tuple[str, ...]) -> str:
    """Return `PNG, JPEG or WEBP`."""
    return " or ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
