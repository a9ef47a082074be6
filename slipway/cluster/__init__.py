"""What a cluster needs that no manifest may hold."""
