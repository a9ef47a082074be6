"""Demonstrations on a running platform: traffic that fills the monitor's and Grafana's pages."""
