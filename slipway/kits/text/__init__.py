"""The kit for texts: words as numbers; classes are in `slipway.kits.classes`."""
