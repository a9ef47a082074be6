"""The prediction record: written by every worker, read by id or as a stream, and its truths."""
