"""Requests of a grammar, sent to every route of every service, and what must hold after them.

`grammar.py` makes the requests of a seed, `runner.py` sends them, `verdict.py` says what failed,
and `targets.py` starts the services.
"""
