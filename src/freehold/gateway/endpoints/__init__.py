"""One module per endpoint, or family of endpoints, that callers can reach."""
