"""A student in, a release out that others can check and build again; and what is known of what was released.

    inventory.py    what is in a release: the types that all the others fill, write out or read back
    build.py        gathers the parts (clearance, data, training, evaluation) and signs them (sign, layout)
    standards/      writes the inventory as other people's standards have it
    verify/         says of a folder that nobody trusts how far it holds
    downstream.py   what rests on rows that are recalled
    ownership/      how much of a task is one's own

docs/release.md describes the folder. Nothing is imported here: most callers need one of these, lazily.
"""
