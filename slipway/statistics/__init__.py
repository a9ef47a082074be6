"""Statistics that run inside the model server; they need NumPy and the standard library only."""
