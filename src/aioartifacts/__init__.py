"""Artifacts without blocking: save, load and list what pipeline steps leave behind."""
