"""Skeletons of projects, one for each kit: `slipway new` copies one, ready to be rewritten.

They are code like any other, so that the linter and the type checker read them.
"""
