"""The feature store: tables built from events, joined in time for training, looked up online."""
