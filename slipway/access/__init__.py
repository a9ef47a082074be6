"""API keys, scopes, rate limits and the audit log. Imports serving packages only."""
