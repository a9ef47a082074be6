"""Followed objects in video: moving regions, tracks, crossings of a line, state, and metrics."""
