"""The Dagster graph: table assets, partitions and jobs, and the one place where the stages are called in order."""

import gc

# What is imported by now, as a rule all of Dagster, stays. No later look for garbage goes through its hundreds of
# thousands of objects: that takes a third of the time in which the rest of a code location is imported.
gc.freeze()
