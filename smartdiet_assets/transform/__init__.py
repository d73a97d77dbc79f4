"""One document to typed rows or a reject. No input or output, and nothing of the other stages."""
