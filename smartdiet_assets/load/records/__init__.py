"""The records, smartdiet.*: what they are made of, and what is written to them and read from them."""

#: Their names; each is made in `ddl`.
RECORDS = ("sync_state", "rejected_rows", "awaited_parents", "missing_parents", "document_ids")
