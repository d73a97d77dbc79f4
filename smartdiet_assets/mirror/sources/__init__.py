"""Where a table's rows come from: a module for each kind of source, behind one interface."""
