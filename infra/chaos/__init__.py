"""Fault injection into docker-compose.yml's stack under load, and what callers saw."""
