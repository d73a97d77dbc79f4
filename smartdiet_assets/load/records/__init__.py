"""The records, smartdiet.*: what they are made of, and what is written to them and read from them."""
