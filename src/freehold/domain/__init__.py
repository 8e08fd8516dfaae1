"""The frozen types every room speaks in, ids and errors. No I/O, and nothing of ours is imported from here out.

Public modules: `errors`, `ids`, `traces`, `chat`, `answers`, `fingerprint`, `tasks`, `evidence`, `policy`, `events`,
`scoring`.
"""
