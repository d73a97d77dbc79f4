"""The structure of tables, as declared and as it is: reading, composing, comparing and changing it.

Here: columns, keys, indexes and their names. Not here: anything about rows.
"""
