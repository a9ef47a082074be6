"""The error that ends a command with a message for the user."""


class Fault(Exception):
    """Raised to end the command with a message and no traceback."""
