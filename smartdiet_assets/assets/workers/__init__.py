"""Runs whose steps workers carry out, on any machine (SMARTDIET_EXECUTOR=celery); needs the extra `celery`."""
