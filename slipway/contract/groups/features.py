"""The client of the feature store, with which a server looks up online features."""

# As in pyproject.toml: distribution and module.
PACKAGES = {"feast": "feast"}
