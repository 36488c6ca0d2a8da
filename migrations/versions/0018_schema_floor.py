"""schema floor: the oldest version whose code can still work with this database

Revision ID: 0018
Revises: 0017

Code that knows the revision in `oldest_code` works with the schema as it is now. A migration that takes away what older
code needs (the second half of expand and contract) sets it to the first revision whose code can do without.
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0018"
down_revision: str | None = "0017"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "schema_floor",
        sa.Column("is_only", sa.Boolean(), primary_key=True, server_default=sa.true()),
        sa.Column("oldest_code", sa.String(32), nullable=False),
        sa.CheckConstraint("is_only", name=op.f("ck_schema_floor_one_row")),
    )
    op.execute("INSERT INTO schema_floor (oldest_code) VALUES ('0017')")


def downgrade() -> None:
    op.drop_table("schema_floor")
