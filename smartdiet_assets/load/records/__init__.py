"""The records, smartdiet.*: what they are made of, and what is written to them and read from them."""

#: Their names, each with the column that says what a line is about; each is made in `ddl`.
RECORDS = {
    "sync_state": "table_name",
    "rejected_rows": "table_name",
    "awaited_parents": "table_name",
    "missing_parents": "table_name",
    "document_ids": "table_name",
    "document_fields": "collection",
    "load_shards": "table_name",
    "forgotten_ids": "table_name",
}
