"""A subject, key, agent run or trace in, nothing of it left, and a signed receipt out.

Public modules: `forget` (what is done, in which order), `forgotten` (what the sealer and imports must drop from now on)
and `receipts`. The others are one place each: `select` finds what is meant; `tables`, `copies`, `holders` and `imports`
clear where it lies.
"""
