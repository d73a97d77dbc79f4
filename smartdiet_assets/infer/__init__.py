"""`smartdiet infer`: from a collection's documents to the YAML that declares its tables.

`facts` and `observation` note what documents hold, `column_types`, `date_fields`, `item_keys` and `references` decide
what follows, `naming` names, `planning` puts tables together, `composing` writes them, `placing` puts them into a file,
`verification` tries them on the documents. All of these are pure; `reading` and `run` do what needs a server or a file.
No value of a document leaves this package: only names of fields, types, shares and counts.
"""
