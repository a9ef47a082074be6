"""The prediction log: records written by every worker, read by id or as a stream, and feedback."""
