"""The tokenizers of language models."""

# As in pyproject.toml: distribution and module.
PACKAGES = {"tokenizers": "tokenizers"}
