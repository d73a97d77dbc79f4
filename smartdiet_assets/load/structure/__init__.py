"""The structure of tables, as declared and as it is: reading, composing, comparing and changing it."""
