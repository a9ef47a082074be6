"""How a command ends when it cannot do what it was asked for."""


class Fault(Exception):
    """Ends the command with one message and no traceback."""
