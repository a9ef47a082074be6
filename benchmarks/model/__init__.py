"""The model that every server is given."""
