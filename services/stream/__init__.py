"""Sends what the model server has on record, predictions and truths, to Kafka."""
