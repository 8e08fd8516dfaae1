"""Exchanges in, agent runs out: which exchanges belong to one run, which agents it had, and who brought about whom.

What callers say counts (the gateway's headers and URLs, `store.traces.placement`); what they do not say is found from
the messages themselves (`chains`, `spawns`). Import from the modules: `read` (from a store), `infer`, `tree`,
`messages`.
"""
