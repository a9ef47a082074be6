"""Limits of a batch job's process."""

MEMORY_BYTES = 4 * 2**30
# A part of a slow model takes minutes; a job of any length goes on as long as it comes forward.
STALL_SECONDS = 1800.0
