"""Load on the model server: users that wait for responses, then requests at a fixed rate."""
