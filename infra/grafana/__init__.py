"""Grafana's dashboards as Python code, from which `infra/grafana/dashboards` is generated."""
