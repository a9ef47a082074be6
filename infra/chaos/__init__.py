"""Faults in docker-compose.yml's stack under load, and what callers saw of them."""
