"""The reconcile pass on real servers."""
