"""Rows of panels on one topic, for use in several dashboards."""
