"""Grafana's dashboards, written in Python: `infra/grafana/dashboards` is generated from them."""
