"""Terms and purpose in, verdict out. Pure; the tables are data files. Unknown means deny."""
