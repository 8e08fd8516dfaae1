"""What keys may do and use: models, budgets, rates, and what they must not see of each other's."""
