"""What is deleted: callers who are to be forgotten, and indexes by which old rows are found."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "erasure",
        sa.Column("caller_key", sa.Text, nullable=False),
        sa.Column("until", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("caller_key", name="pk_erasure"),
    )
    op.create_index("ix_event_at", "event", ["at"])
    op.create_index("ix_timeline_at", "timeline", ["at"])
    known, callers = sa.text("caller_key <> ''"), sa.text("kind = 'caller'")
    op.create_index("ix_contact_known", "contact", ["began"], sqlite_where=known, postgresql_where=known)
    op.create_index("ix_event_callers", "event", ["at"], sqlite_where=callers, postgresql_where=callers)
    op.create_index("ix_contact_began", "contact", ["began"])
