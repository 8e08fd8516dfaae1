"""Stored data in, server-rendered pages out."""
