"""Watching a server: its events as log records."""
