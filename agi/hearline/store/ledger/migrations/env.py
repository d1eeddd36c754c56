"""Run by Alembic, on the connection that `database.migrate` passes."""

from alembic import context

from hearline.store.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
    transaction_per_migration=False,
)
context.run_migrations()  # in the transaction that has begun
