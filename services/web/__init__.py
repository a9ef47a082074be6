"""Code shared by all HTTP services: errors, headers, API keys, logs."""
