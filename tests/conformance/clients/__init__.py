"""Real clients, each behind the same two calls: ask for a feature, and say how an error looks to its user."""
