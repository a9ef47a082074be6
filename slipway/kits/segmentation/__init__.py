"""The kit for the class of every pixel of a picture."""
