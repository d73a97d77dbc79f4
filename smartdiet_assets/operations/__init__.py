"""What an operator asks for on the command line: one module per thing, each usable without the command line."""
