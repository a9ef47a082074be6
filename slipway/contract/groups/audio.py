"""The decoders of compressed sound."""

# As in pyproject.toml: distribution and module.
PACKAGES = {"av": "av"}
