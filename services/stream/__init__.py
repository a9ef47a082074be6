"""Forwards the model server's prediction log and its labels to Kafka."""
