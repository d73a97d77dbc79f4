"""`smartdiet doctor`: everything a run needs, looked at before there is one; one folder for all that is looked at."""
