"""`smartdiet refresh mongo`: one MongoDB database copied over another."""
