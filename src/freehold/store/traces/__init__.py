"""The tables of sealed traces and feedback in Delta Lake. Most of it needs polars and deltalake: import it late."""
