"""Answers a request by its task's ladder: one model after the other until an answer will do."""
