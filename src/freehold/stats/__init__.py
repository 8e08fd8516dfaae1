"""Losses in, p-values, certificates' tests and confidence sequences out. Pure functions of arrays and numbers."""
