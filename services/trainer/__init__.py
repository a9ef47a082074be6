"""The trainer: runs that people ask for, and runs that alerts start."""
