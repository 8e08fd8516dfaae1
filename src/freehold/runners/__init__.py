"""Where a job runs: a process on this machine."""
