"""Load on the model server: users that wait for answers, then requests at a fixed rate."""
