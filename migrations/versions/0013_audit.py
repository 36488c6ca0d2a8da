"""audit: who did what, append-only, each row chained to the one before by its hash

Revision ID: 0013
Revises: 0012
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0013"
down_revision: str | None = "0012"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_HASH = """
    CREATE FUNCTION audit_hash(e audit_events) RETURNS bytea LANGUAGE sql STABLE AS $$
        SELECT sha256(coalesce(e.previous, ''::bytea) || convert_to(jsonb_build_array(
            e.id, extract(epoch FROM e.at), e.actor_id, e.actor, e.action, e.object_kind, e.object_id, e.details,
            e.ip, e.request_id)::text, 'UTF8'))
    $$
"""
# One after the other: each has to see the row before it. Number, time and hashes are given here and nowhere else.
_CHAIN = """
    CREATE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('audit', 0));
        NEW.previous := (SELECT hash FROM audit_events ORDER BY id DESC LIMIT 1);
        NEW.id := coalesce((SELECT max(id) FROM audit_events), 0) + 1;
        NEW.at := clock_timestamp();
        NEW.hash := audit_hash(NEW);
        RETURN NEW;
    END $$
"""
_REFUSE = """
    CREATE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
"""


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", sa.BigInteger(), primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor_id", sa.Uuid()),
        sa.Column("actor", sa.String(64)),
        sa.Column("action", sa.String(40), nullable=False),
        sa.Column("object_kind", sa.String(20)),
        sa.Column("object_id", sa.String(64)),
        sa.Column("details", postgresql.JSONB(), server_default="{}", nullable=False),
        sa.Column("ip", sa.String(64)),
        sa.Column("request_id", sa.String(128)),
        sa.Column("previous", sa.LargeBinary()),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
    )
    for column in ("actor_id", "action", "object_id", "at"):
        op.create_index(f"ix_audit_events_{column}", "audit_events", [column])
    for statement in (_HASH, _CHAIN, _REFUSE):
        op.execute(statement)
    op.execute("CREATE TRIGGER chain BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION audit_chain()")
    op.execute(
        "CREATE TRIGGER refuse BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_events"
        " FOR EACH STATEMENT EXECUTE FUNCTION audit_refuse()"
    )
    op.execute("REVOKE UPDATE, DELETE, TRUNCATE ON audit_events FROM PUBLIC, CURRENT_USER")


def downgrade() -> None:
    op.execute("DROP FUNCTION audit_hash(audit_events)")
    op.drop_table("audit_events")
    for function in ("audit_chain()", "audit_refuse()"):
        op.execute(f"DROP FUNCTION {function}")
