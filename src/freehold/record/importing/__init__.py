"""What others have recorded in, as traces and feedback: one module per format, and what imports them.

Public names live in their modules: `importer.Importer` (files into a store), `formats.FORMATS` and `formats.detect`,
`exchange.Options`. To add a format, write a module with a `FORMAT` (see `format`) and name it in `formats`.
"""
