"""The trainer: training runs on request, and training runs that alerts start."""
