"""Audits in, confidence sequences and rollbacks out."""
