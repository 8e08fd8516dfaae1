"""A dataset in, a student out."""
