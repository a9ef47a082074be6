"""The kit for pictures that a network makes of pictures."""
