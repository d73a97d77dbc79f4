"""What a table is: the model, the column types, and the reading of schema files."""
