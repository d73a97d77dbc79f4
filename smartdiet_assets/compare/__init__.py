"""`smartdiet compare`: two of the declaration, PostgreSQL servers and MongoDB, by structure and by rows.

Structures are read (`structures`), compared by `load.structure.comparison` and reconciled (`reconciling`). Rows are
compared by checksums computed on both servers (`checksums`, `rows`), or with their documents (`documents`).
"""
