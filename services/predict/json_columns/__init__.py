"""Predicts batches of JSON records as whole columns, with the responses that records would get."""
