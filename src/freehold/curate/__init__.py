"""Traces in, tasks and datasets out."""
