"""The tables as they are now. ``migrations/versions`` makes them, and a test compares the two.

Moments are ms since 1970 (UTC), durations ms. A call is named by its id (``core.ids``).
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Date,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    text,
)


def storable(text: str) -> str:
    """The text without what PostgreSQL refuses: NUL, and halves of surrogate pairs."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
    }
)

# ---- 0001_events: what the spools said ------------------------------------------------------------------------------
stream = Table(
    "stream",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("writer", Text, nullable=False),  # the folder of its spool: door, assist
    Column("name", Text, nullable=False, unique=True),
    Column("through", BigInteger, nullable=False),  # the number of the last record that was taken in
    Column("missing", BigInteger, nullable=False),  # records before that which were damaged
)
event = Table(
    "event",
    metadata,
    Column("stream", Integer, ForeignKey("stream.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("call", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", Text, nullable=False),  # JSON
    sqlite_with_rowid=False,
)
Index("ix_event_call", event.c.call)
timeline = Table(  # spare events: one may be lost, and none counts
    "timeline",
    metadata,
    Column("stream", Integer, ForeignKey("stream.id"), primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("at", BigInteger, nullable=False),
    Column("call", Text, nullable=False),
    Column("kind", Text, nullable=False),
    Column("body", LargeBinary, nullable=False),  # JSON, by zlib
)
Index("ix_timeline_call", timeline.c.call)

# ---- 0002_facts: what follows from them, see figures/facts ----------------------------------------------------------
contact = Table(
    "contact",
    metadata,
    Column("call", Text, primary_key=True),
    Column("site", Text, nullable=False),
    Column("trunk", Text, nullable=False),
    Column("dialled", Text, nullable=False),
    Column("flow", Text, nullable=False),
    Column("caller_key", Text, nullable=False),  # keyed hash of the number; '' if it is withheld
    Column("began", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("heard", Text, nullable=False),
    Column("level", Float),  # dBov
    Column("ivr_outcome", Text, nullable=False),
    Column("ended_as", Text, nullable=False),
    Column("outcome", Text, nullable=False),  # as the agent picked it
    Column("first_hangup", Text, nullable=False),
    Column("callback", Boolean, nullable=False),
    Column("fcr_due", BigInteger),
    Column("local_day", Date, nullable=False),  # of `began`
    Column("local_hour", Integer, nullable=False),
    Column("rules_version", Integer, nullable=False),
)
Index("ix_contact_local_day", contact.c.local_day)
Index("ix_contact_caller_key", contact.c.caller_key, contact.c.began)
stint = Table(
    "stint",
    metadata,
    Column("call", Text, ForeignKey("contact.call"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("queue", Text, nullable=False),
    Column("via", Text, nullable=False),
    Column("enqueued", BigInteger, nullable=False),
    Column("left", BigInteger),
    Column("why_left", Text, nullable=False),
    Column("picked_up", BigInteger),
    Column("joined", BigInteger),
    Column("local_day", Date, nullable=False),  # of `enqueued`
    Column("local_hour", Integer, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_stint_local_day", stint.c.local_day, stint.c.queue)
segment = Table(
    "segment",
    metadata,
    Column("call", Text, ForeignKey("contact.call"), primary_key=True),
    Column("stint", Integer, primary_key=True),  # its `seq`
    Column("agent", Text, primary_key=True),  # work number
    Column("began", BigInteger, nullable=False),
    Column("ended", BigInteger),
    Column("talk", BigInteger, nullable=False),
    Column("hold", BigInteger, nullable=False),
    Column("holds", Integer, nullable=False),
    Column("longest_hold", BigInteger, nullable=False),
    Column("wrap", BigInteger),
    sqlite_with_rowid=False,
)
Index("ix_segment_agent", segment.c.agent, segment.c.began)
dirty_day = Table(  # business days whose roll-ups are out of date
    "dirty_day",
    metadata,
    Column("local_day", Date, primary_key=True),
)

# ---- 0003_privacy: what is deleted, see `erasure` and `retention` ---------------------------------------------------
erasure = Table(  # callers who are to be forgotten
    "erasure",
    metadata,
    Column("caller_key", Text, primary_key=True),
    Column("until", BigInteger, nullable=False),  # calls that came later are kept
)
Index("ix_event_at", event.c.at)
Index("ix_timeline_at", timeline.c.at)
Index("ix_contact_began", contact.c.began)
_known, _callers = text("caller_key <> ''"), text("kind = 'caller'")
Index("ix_contact_known", contact.c.began, sqlite_where=_known, postgresql_where=_known)
Index("ix_event_callers", event.c.at, sqlite_where=_callers, postgresql_where=_callers)
