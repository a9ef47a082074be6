"""Service level objectives: one small file per service, from which Prometheus' rules are made."""
