"""HTTP in, HTTP out; thin. Serves route and record only."""
