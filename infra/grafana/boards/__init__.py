"""One module per dashboard, with a DASHBOARD; a new module is a new dashboard."""
