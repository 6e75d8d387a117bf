"""Alembic revisions of the history."""
