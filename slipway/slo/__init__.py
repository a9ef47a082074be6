"""Service level objectives: a small file a service; Prometheus' rules are generated from it."""
