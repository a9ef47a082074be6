"""The dashboard: what a registered model looks at, why it answered so, and whom it serves how."""
