"""The job engine: queues jobs, runs each in a process of its own, and records how it ended."""
