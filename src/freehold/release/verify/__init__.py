"""A release's folder in, the level out to which it was verified, and why not more."""
