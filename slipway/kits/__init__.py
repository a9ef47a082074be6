"""Kits: what every project of one kind of task repeats; a project keeps its lesson."""
