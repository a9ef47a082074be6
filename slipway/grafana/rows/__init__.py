"""Rows of panels that are an idea of their own; dashboards put them where they help."""
