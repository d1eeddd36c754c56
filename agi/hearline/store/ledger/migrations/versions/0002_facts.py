"""What follows from the events: contacts, stints, segments, and the days whose roll-ups are out of date."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "contact",
        sa.Column("call", sa.Text, nullable=False),
        sa.Column("site", sa.Text, nullable=False),
        sa.Column("trunk", sa.Text, nullable=False),
        sa.Column("dialled", sa.Text, nullable=False),
        sa.Column("flow", sa.Text, nullable=False),
        sa.Column("caller_key", sa.Text, nullable=False),
        sa.Column("began", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.Column("heard", sa.Text, nullable=False),
        sa.Column("level", sa.Float),
        sa.Column("ivr_outcome", sa.Text, nullable=False),
        sa.Column("ended_as", sa.Text, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
        sa.Column("first_hangup", sa.Text, nullable=False),
        sa.Column("callback", sa.Boolean, nullable=False),
        sa.Column("fcr_due", sa.BigInteger),
        sa.Column("local_day", sa.Date, nullable=False),
        sa.Column("local_hour", sa.Integer, nullable=False),
        sa.Column("rules_version", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("call", name="pk_contact"),
    )
    op.create_index("ix_contact_local_day", "contact", ["local_day"])
    op.create_index("ix_contact_caller_key", "contact", ["caller_key", "began"])
    op.create_table(
        "stint",
        sa.Column("call", sa.Text, nullable=False),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("queue", sa.Text, nullable=False),
        sa.Column("via", sa.Text, nullable=False),
        sa.Column("enqueued", sa.BigInteger, nullable=False),
        sa.Column("left", sa.BigInteger),
        sa.Column("why_left", sa.Text, nullable=False),
        sa.Column("picked_up", sa.BigInteger),
        sa.Column("joined", sa.BigInteger),
        sa.Column("local_day", sa.Date, nullable=False),
        sa.Column("local_hour", sa.Integer, nullable=False),
        sa.PrimaryKeyConstraint("call", "seq", name="pk_stint"),
        sa.ForeignKeyConstraint(["call"], ["contact.call"], name="fk_stint_call"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_stint_local_day", "stint", ["local_day", "queue"])
    op.create_table(
        "segment",
        sa.Column("call", sa.Text, nullable=False),
        sa.Column("stint", sa.Integer, nullable=False),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("began", sa.BigInteger, nullable=False),
        sa.Column("ended", sa.BigInteger),
        sa.Column("talk", sa.BigInteger, nullable=False),
        sa.Column("hold", sa.BigInteger, nullable=False),
        sa.Column("holds", sa.Integer, nullable=False),
        sa.Column("longest_hold", sa.BigInteger, nullable=False),
        sa.Column("wrap", sa.BigInteger),
        sa.PrimaryKeyConstraint("call", "stint", "agent", name="pk_segment"),
        sa.ForeignKeyConstraint(["call"], ["contact.call"], name="fk_segment_call"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_segment_agent", "segment", ["agent", "began"])
    op.create_table(
        "dirty_day",
        sa.Column("local_day", sa.Date, nullable=False),
        sa.PrimaryKeyConstraint("local_day", name="pk_dirty_day"),
    )
