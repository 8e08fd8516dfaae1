"""Freehold: move an organisation's LLM traffic to models it owns, and prove that nothing is lost."""

__version__ = "0.1.0"
