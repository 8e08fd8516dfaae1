"""The journal: append-only segments, one folder per gateway worker; the only store in the request's path."""
