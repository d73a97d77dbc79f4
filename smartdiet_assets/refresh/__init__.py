"""Copying a whole database over another one: what is shown first, what is asked, and each database's way of it."""
