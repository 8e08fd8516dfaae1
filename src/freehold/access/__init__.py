"""Who may call, for what, and how much: keys are checked, scopes held, and limits taken in leases."""
