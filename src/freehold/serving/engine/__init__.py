"""Computes language models of the Llama family on this machine: many requests side by side. Imports torch.

Public names: `load_engine`, `Engine`, `Ask`, `Running`, `answer_all`, `limit_threads`.

    config, weights, adapters   what a model's and an adapter's files hold, laid out for few operations
    dense, quick                the decoder: for prompts and GPUs in torch; for single tokens on the CPU in numpy
    cache                       keys and values of running requests, and of earlier ones with the same beginning
    sequence, engine            requests, and the steps that answer them
    text, grammar, sampling     tokens and text, JSON by schema, the choice of a token
    answers                     a student's answers to many prompts, without a server
"""

from freehold.serving.engine.answers import answer_all
from freehold.serving.engine.engine import Engine, limit_threads, load_engine
from freehold.serving.engine.sequence import Ask, Running

__all__ = ["Ask", "Engine", "Running", "answer_all", "limit_threads", "load_engine"]
