"""`smartdiet refresh postgres`: one PostgreSQL database copied over another."""
