"""`python -m slipway` is the `slipway` command."""

from slipway.cli import main

main()
