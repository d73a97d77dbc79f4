"""`smartdiet infer`: from a collection's documents to the YAML that declares its tables.

`facts` and `observation` note what documents hold, `column_types`, `date_fields`, `item_keys` and `references` decide
what follows, `naming` names, `planning` puts tables together, `composing` writes them, `placing` puts them into a file,
`verification` tries them on the documents. `linking` orders the tables of many collections, `undeclared` and `editing`
add to those that are there. All of these are pure. What needs a server or a file: `reading`; `run` infers a collection,
`everything` all of them, `updating` what came later, `schema_file` writes; `project` makes a folder for a new mirror.
No value of a document leaves this package: only names of fields, types, shares and counts.
"""
