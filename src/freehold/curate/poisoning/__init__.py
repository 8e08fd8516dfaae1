"""Feedback and traffic come from outside: who contradicts all others, what is unlike the rest, what is put aside.

Imported by module, as they need polars and more: `claims` (what feedback says the right answer is), `consensus` (what
the others say it is), `keys` (which keys contradict them), `outliers`, `report`, `canaries`, `aside` (quarantine).
"""
