"""Who may ask what, how often, and who changed it. Serve-time imports only."""
