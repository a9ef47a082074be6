"""The groups of packages that a version needs on its server, and the images that have them."""

from collections.abc import Sequence

from slipway.contract.groups import ServingGroupMissing, check_groups, group_names
from slipway.contract.lookup import Lookup

FEATURES = "features"
"""The group that a server needs to look up features; the model itself does without it."""


def needed_groups(requires: Sequence[str], looked_up: Lookup | None) -> list[str]:
    """Return the groups that the model requires, and `features` if it looks up features."""
    return [*requires, *([FEATURES] if looked_up and FEATURES not in requires else [])]


def check_packages(needed: list[str]) -> None:
    """Check that the packages of all groups are installed, without importing them.

    Raises:
        ServingGroupMissing: one is not; the message names the image that has them.
    """
    try:
        check_groups(needed)
    except ServingGroupMissing as fault:
        image = image_with(needed)
        hint = f"; the image {image} has it" if image else ""
        raise ServingGroupMissing(f"{fault}{hint}") from None


def image_with(needed: list[str]) -> str | None:
    """Return the smallest image with all groups; None if one is of a later release."""
    if not set(needed) <= set(group_names()):
        return None
    return "serving-features" if set(needed) == {FEATURES} else "serving-media"
