"""Alembic revisions of the inventory."""
