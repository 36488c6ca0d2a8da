"""retention: age limits by store, legal holds that no deletion gets past, an audit log that may lose its oldest rows

Revision ID: 0016
Revises: 0015
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0016"
down_revision: str | None = "0015"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_HELD_CONVERSATION = """
    CREATE FUNCTION held_conversation(conversation uuid, owner uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
        SELECT EXISTS (SELECT FROM legal_holds h WHERE h.conversation_id = conversation OR h.user_id = owner)
    $$
"""
# A file is held with its owner, and with each conversation that it was asked about in.
_HELD_FILE = """
    CREATE FUNCTION held_file(file uuid, owner uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
        SELECT EXISTS (SELECT FROM legal_holds h WHERE h.user_id = owner) OR EXISTS (
            SELECT FROM conversation_files cf JOIN conversations c ON c.id = cf.conversation_id
            JOIN legal_holds h ON h.conversation_id = c.id OR h.user_id = c.user_id WHERE cf.file_id = file)
    $$
"""
# `LH001` is known to persistence/session.py, which makes it the error that callers see.
_REFUSE = """
    CREATE FUNCTION hold_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    DECLARE
        held boolean;
    BEGIN
        IF TG_TABLE_NAME = 'users' THEN
            held := EXISTS (SELECT FROM legal_holds h WHERE h.user_id = OLD.id);
        ELSIF TG_TABLE_NAME = 'conversations' THEN
            held := held_conversation(OLD.id, OLD.user_id);
        ELSE
            held := held_file(OLD.id, OLD.user_id);
        END IF;
        IF held THEN
            RAISE EXCEPTION 'a legal hold keeps this' USING ERRCODE = 'LH001';
        END IF;
        RETURN OLD;
    END $$
"""
_REFUSE_DETACHING = """
    CREATE FUNCTION hold_refuse_detaching() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.message_id IS NOT NULL AND EXISTS (
            SELECT FROM conversations c WHERE c.id = OLD.conversation_id AND held_conversation(c.id, c.user_id)
        ) THEN
            RAISE EXCEPTION 'a legal hold keeps this' USING ERRCODE = 'LH001';
        END IF;
        RETURN OLD;
    END $$
"""
# Only `audit_prune` deletes, the oldest rows first, and none younger than 90 days whatever it is asked for. What goes
# is told in the log itself, with the number and the hash of the last row that went: the chain goes on from there.
_AUDIT_REFUSE = """
    CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND current_setting('llama.audit_prune', true) = 'on' THEN
            RETURN NULL;
        END IF;
        RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
"""
_AUDIT_PRUNE = """
    CREATE FUNCTION audit_prune(days int) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path FROM CURRENT AS $$
    DECLARE
        through bigint;
        last_hash bytea;
        gone bigint;
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('audit', 0));
        SELECT max(e.id) INTO through FROM audit_events e
        WHERE e.at < clock_timestamp() - make_interval(days => greatest(days, 90))
          AND e.id < (SELECT max(id) FROM audit_events)
          AND e.id < coalesce((
              SELECT min(kept.id) FROM audit_events kept
              JOIN legal_holds h ON h.user_id = kept.actor_id OR h.user_id::text = kept.object_id
                                 OR h.conversation_id::text = kept.object_id), 9223372036854775807);
        IF through IS NULL THEN
            RETURN 0;
        END IF;
        SELECT hash INTO last_hash FROM audit_events WHERE id = through;
        PERFORM set_config('llama.audit_prune', 'on', true);
        DELETE FROM audit_events WHERE id <= through;
        GET DIAGNOSTICS gone = ROW_COUNT;
        PERFORM set_config('llama.audit_prune', 'off', true);
        INSERT INTO audit_events (action, details) VALUES
            ('audit_pruned', jsonb_build_object('rows', gone, 'through', through, 'hash', encode(last_hash, 'hex')));
        RETURN gone;
    END $$
"""
_AUDIT_REFUSE_ALWAYS = """
    CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
"""


def upgrade() -> None:
    op.create_table(
        "retention_limits",
        sa.Column("store", sa.String(20), primary_key=True),
        sa.Column("days", sa.Integer(), nullable=False),
    )
    op.create_table(
        "legal_holds",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), sa.ForeignKey("users.id")),
        sa.Column("conversation_id", sa.Uuid(), sa.ForeignKey("conversations.id")),
        sa.Column("reason", sa.String(400), nullable=False),
        sa.Column("created_by", sa.Uuid(), sa.ForeignKey("users.id", ondelete="SET NULL")),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("num_nonnulls(user_id, conversation_id) = 1", name=op.f("ck_legal_holds_one_subject")),
    )
    op.create_index("ix_legal_holds_user_id", "legal_holds", ["user_id"])
    op.create_index("ix_legal_holds_conversation_id", "legal_holds", ["conversation_id"])
    op.create_index("ix_conversations_updated_at", "conversations", ["updated_at"])
    for function in (_HELD_CONVERSATION, _HELD_FILE, _REFUSE, _REFUSE_DETACHING, _AUDIT_REFUSE, _AUDIT_PRUNE):
        op.execute(function)
    for table in ("users", "conversations", "files"):
        op.execute(f"CREATE TRIGGER hold BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION hold_refuse()")
    op.execute(
        "CREATE TRIGGER hold BEFORE DELETE ON conversation_files FOR EACH ROW EXECUTE FUNCTION hold_refuse_detaching()"
    )
    # Taken from the owner too by 0013; the trigger refuses it still, except within `audit_prune`.
    op.execute("GRANT DELETE ON audit_events TO CURRENT_USER")


def downgrade() -> None:
    op.execute("REVOKE DELETE ON audit_events FROM CURRENT_USER")
    for table in ("users", "conversations", "files", "conversation_files"):
        op.execute(f"DROP TRIGGER hold ON {table}")
    op.execute(_AUDIT_REFUSE_ALWAYS)
    for function in (
        *("audit_prune(int)", "hold_refuse()", "hold_refuse_detaching()"),
        *("held_file(uuid, uuid)", "held_conversation(uuid, uuid)"),
    ):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index("ix_conversations_updated_at", table_name="conversations")
    op.drop_table("legal_holds")
    op.drop_table("retention_limits")
