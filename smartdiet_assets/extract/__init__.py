"""Which documents to read, and a stream of raw batches of them."""
