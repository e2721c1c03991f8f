"""SQLAlchemy engines on the database, for those who read it with pandas, in a notebook or from a tool of their own."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from transforms.warehouse.postgres import connect_url


def engine(home: Path, role: str = "reader") -> sa.Engine:
    """An engine of a role on the database of a CAIRN_HOME; an embedded server is started and left running.

    A reader's transaction is at repeatable read: everything read in it is of one snapshot. Raises UsageError for a
    role there is not, DatabaseError when the database cannot be reached.

        with engine(home).connect() as connection:
            adlb = pd.read_sql("SELECT * FROM <study>_adam.adlb", connection)
    """
    return sa.create_engine(sa.make_url(connect_url(home, role)).set(drivername="postgresql+psycopg"))
