"""A dataset and a recipe in, a generative student out. Imports torch only in the process that trains."""
