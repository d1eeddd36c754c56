"""Alembic's migrations, carried in the wheel. `database.migrate` applies them."""
