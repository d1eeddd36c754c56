"""What the spools said: streams with their cursors, events, timelines."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "stream",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("writer", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("through", sa.BigInteger, nullable=False),
        sa.Column("missing", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_stream"),
        sa.UniqueConstraint("name", name="uq_stream_name"),
    )
    for name, body, options in (
        ("event", sa.Text, {"sqlite_with_rowid": False}),
        ("timeline", sa.LargeBinary, {}),
    ):
        op.create_table(
            name,
            sa.Column("stream", sa.Integer, nullable=False),
            sa.Column("number", sa.BigInteger, nullable=False),
            sa.Column("at", sa.BigInteger, nullable=False),
            sa.Column("call", sa.Text, nullable=False),
            sa.Column("kind", sa.Text, nullable=False),
            sa.Column("body", body, nullable=False),
            sa.PrimaryKeyConstraint("stream", "number", name=f"pk_{name}"),
            sa.ForeignKeyConstraint(["stream"], ["stream.id"], name=f"fk_{name}_stream"),
            **options,
        )
        op.create_index(f"ix_{name}_call", name, ["call"])
