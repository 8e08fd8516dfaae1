"""Sealed traces in, every dollar out: measured, quoted or assumed."""
