"""The size of the pictures, which networks and pictures share."""

SIDE = 224
