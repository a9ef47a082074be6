"""One dashboard a module, as DASHBOARD; a new module is a new dashboard."""
