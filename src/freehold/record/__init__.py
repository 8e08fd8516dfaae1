"""Exchanges in, journal frames out; journals in, sealed trace table out."""
