"""The feature store: offline tables, point-in-time joins for training, and online look-ups."""
