"""The load generator: what it sends, its process, and the machine it measures on."""
