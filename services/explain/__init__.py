"""The dashboard: explanations of registered models and their fairness by group."""
