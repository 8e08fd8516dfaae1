"""Base models that students are made from."""
