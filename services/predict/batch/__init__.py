"""Batch scoring of files larger than memory, from the command line and as jobs."""
