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

# Whoever calls these functions must not lead them to tables of their own: each names the schema that it looks in.
_PLACE = "SET search_path = {schema}, pg_temp"

_HELD_CONVERSATION = """
    CREATE FUNCTION held_conversation(conversation uuid, owner uuid) RETURNS boolean LANGUAGE sql STABLE {place} AS $$
        SELECT EXISTS (SELECT FROM legal_holds h WHERE h.conversation_id = conversation OR h.user_id = owner)
    $$
"""
# A file is held with its owner, and with each conversation that it is attached to or that speaks of it: as a picture of
# a question, a source of an answer, or what a tool has read.
_HELD_FILE = """
    CREATE FUNCTION held_file(file uuid, owner uuid) RETURNS boolean LANGUAGE sql STABLE {place} AS $$
        WITH held AS MATERIALIZED (
            SELECT c.id FROM legal_holds h JOIN conversations c ON c.id = h.conversation_id OR c.user_id = h.user_id
        )
        SELECT EXISTS (SELECT FROM legal_holds h WHERE h.user_id = owner)
            OR EXISTS (SELECT FROM held JOIN conversation_files cf ON cf.conversation_id = held.id
                       WHERE cf.file_id = file)
            OR EXISTS (SELECT FROM held JOIN messages m ON m.conversation_id = held.id
                       WHERE m.images @> ARRAY[file]
                          OR m.sources @> jsonb_build_array(jsonb_build_object('file_id', file))
                          OR m.steps @> jsonb_build_array(jsonb_build_object('file_ids', jsonb_build_array(file))))
    $$
"""
# The same for all files at once: what a query leaves out is found by one look through what is held.
_HELD_FILES = """
    CREATE FUNCTION held_files() RETURNS SETOF uuid LANGUAGE sql STABLE {place} AS $$
        WITH held AS MATERIALIZED (
            SELECT c.id FROM legal_holds h JOIN conversations c ON c.id = h.conversation_id OR c.user_id = h.user_id
        ), named AS (
            SELECT jsonb_path_query(coalesce(m.sources, '[]'), 'lax $[*].file_id') #>> '{}' AS id
            FROM held JOIN messages m ON m.conversation_id = held.id
            UNION SELECT jsonb_path_query(coalesce(m.steps, '[]'), 'lax $[*].file_ids[*]') #>> '{}'
            FROM held JOIN messages m ON m.conversation_id = held.id
        )
        SELECT f.id FROM legal_holds h JOIN files f ON f.user_id = h.user_id
        UNION SELECT cf.file_id FROM held JOIN conversation_files cf ON cf.conversation_id = held.id
        UNION SELECT unnest(m.images) FROM held JOIN messages m ON m.conversation_id = held.id
        UNION SELECT f.id FROM named JOIN files f ON f.id::text = named.id
    $$
"""
# `LH001` is known to persistence/session.py, which makes it the error that callers see.
_REFUSE = """
    CREATE FUNCTION hold_refuse() RETURNS trigger LANGUAGE plpgsql {place} AS $$
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
    CREATE FUNCTION hold_refuse_detaching() RETURNS trigger LANGUAGE plpgsql {place} AS $$
    BEGIN
        IF OLD.message_id IS NOT NULL AND EXISTS (
            SELECT FROM conversations c WHERE c.id = OLD.conversation_id AND held_conversation(c.id, c.user_id)
        ) THEN
            RAISE EXCEPTION 'a legal hold keeps this' USING ERRCODE = 'LH001';
        END IF;
        RETURN OLD;
    END $$
"""
# Whose a file was that is gone: other people's answers may quote it, until its owner is erased.
_BURY = """
    CREATE FUNCTION file_bury() RETURNS trigger LANGUAGE plpgsql {place} AS $$
    BEGIN
        INSERT INTO deleted_files (file_id, user_id) VALUES (OLD.id, OLD.user_id) ON CONFLICT DO NOTHING;
        RETURN NULL;
    END $$
"""
# Rows go within `audit_prune` alone, which sets the variable; and none younger than 90 days goes, whoever sets it.
_AUDIT_REFUSE = """
    CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'DELETE' AND current_setting('llama.audit_prune', true) = 'on' THEN
            RETURN NULL;
        END IF;
        RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
"""
_AUDIT_REFUSE_YOUNG = """
    CREATE FUNCTION audit_refuse_young() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF OLD.at >= clock_timestamp() - interval '90 days' THEN
            RAISE EXCEPTION 'the audit log keeps 90 days' USING ERRCODE = 'insufficient_privilege';
        END IF;
        RETURN OLD;
    END $$
"""
_AUDIT_CHAIN = """
    CREATE OR REPLACE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF NEW.action = 'audit_pruned' AND current_setting('llama.audit_prune', true) IS DISTINCT FROM 'on' THEN
            RAISE EXCEPTION 'audit_prune notes what it does' USING ERRCODE = 'insufficient_privilege';
        END IF;
        PERFORM pg_advisory_xact_lock(hashtextextended('audit', 0));
        NEW.previous := (SELECT hash FROM audit_events ORDER BY id DESC LIMIT 1);
        NEW.id := coalesce((SELECT max(id) FROM audit_events), 0) + 1;
        NEW.at := clock_timestamp();
        NEW.hash := audit_hash(NEW);
        RETURN NEW;
    END $$
"""
# The first row that a hold keeps: what was done by, or to, a person or a conversation on hold.
_AUDIT_FIRST_HELD = """
    CREATE FUNCTION audit_first_held() RETURNS bigint LANGUAGE sql STABLE {place} AS $$
        SELECT least(
            (SELECT min(e.id) FROM legal_holds h JOIN audit_events e ON e.actor_id = h.user_id),
            (SELECT min(e.id) FROM legal_holds h JOIN audit_events e ON e.object_id = h.user_id::text),
            (SELECT min(e.id) FROM legal_holds h JOIN audit_events e ON e.object_id = h.conversation_id::text))
    $$
"""
# The oldest rows, 10,000 at most, that are older than the limit that an administrator has set. The newest row stays,
# and so do those behind the first that is held. What went is told in the log itself, with the number and the hash of
# the last row that went: the chain goes on from there.
_AUDIT_PRUNE = """
    CREATE FUNCTION audit_prune() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER {place} AS $$
    DECLARE
        days int := (SELECT l.days FROM retention_limits l WHERE l.store = 'audit');
        first bigint := (SELECT min(id) FROM audit_events);
        through bigint;
        last_hash bytea;
        gone bigint;
    BEGIN
        IF days IS NULL THEN
            RETURN 0;
        END IF;
        SELECT max(e.id) INTO through FROM audit_events e
        WHERE e.at < clock_timestamp() - make_interval(days => greatest(days, 90))
          AND e.id < first + 10000 AND e.id < (SELECT max(id) FROM audit_events)
          AND e.id < coalesce(audit_first_held(), 9223372036854775807);
        IF through IS NULL THEN
            RETURN 0;
        END IF;
        PERFORM pg_advisory_xact_lock(hashtextextended('audit', 0));
        SELECT hash INTO last_hash FROM audit_events WHERE id = through;
        IF last_hash IS NULL THEN
            RETURN 0;  -- another one was faster
        END IF;
        PERFORM set_config('llama.audit_prune', 'on', true);
        DELETE FROM audit_events WHERE id <= through;
        GET DIAGNOSTICS gone = ROW_COUNT;
        INSERT INTO audit_events (action, details) VALUES
            ('audit_pruned', jsonb_build_object('rows', gone, 'through', through, 'hash', encode(last_hash, 'hex')));
        PERFORM set_config('llama.audit_prune', 'off', true);
        RETURN gone;
    END $$
"""
_AUDIT_REFUSE_BEFORE = """
    CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'insufficient_privilege';
    END $$
"""
_AUDIT_CHAIN_BEFORE = """
    CREATE OR REPLACE FUNCTION audit_chain() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtextextended('audit', 0));
        NEW.previous := (SELECT hash FROM audit_events ORDER BY id DESC LIMIT 1);
        NEW.id := coalesce((SELECT max(id) FROM audit_events), 0) + 1;
        NEW.at := clock_timestamp();
        NEW.hash := audit_hash(NEW);
        RETURN NEW;
    END $$
"""
_FUNCTIONS = (
    *(_HELD_CONVERSATION, _HELD_FILE, _HELD_FILES, _REFUSE, _REFUSE_DETACHING, _BURY),
    *(_AUDIT_REFUSE, _AUDIT_REFUSE_YOUNG, _AUDIT_CHAIN, _AUDIT_FIRST_HELD, _AUDIT_PRUNE),
)


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
    op.create_index("uq_legal_holds_user_id", "legal_holds", ["user_id"], unique=True)
    op.create_index("uq_legal_holds_conversation_id", "legal_holds", ["conversation_id"], unique=True)
    op.create_table(
        "deleted_files",
        sa.Column("file_id", sa.Uuid(), primary_key=True),
        sa.Column("user_id", sa.Uuid(), nullable=False),
        sa.Column("to_erase", sa.Boolean(), server_default="false", nullable=False),
    )
    op.create_index("ix_deleted_files_user_id", "deleted_files", ["user_id"])
    op.create_index("ix_conversations_updated_at", "conversations", ["updated_at"])
    schema = op.get_bind().scalar(sa.text("SELECT quote_ident(current_schema())"))
    for function in _FUNCTIONS:
        op.execute(function.replace("{place}", _PLACE.format(schema=schema)))
    for table in ("users", "conversations", "files"):
        op.execute(f"CREATE TRIGGER hold BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION hold_refuse()")
    op.execute(
        "CREATE TRIGGER hold BEFORE DELETE ON conversation_files FOR EACH ROW EXECUTE FUNCTION hold_refuse_detaching()"
    )
    op.execute("CREATE TRIGGER bury AFTER DELETE ON files FOR EACH ROW EXECUTE FUNCTION file_bury()")
    op.execute(
        "CREATE TRIGGER refuse_young BEFORE DELETE ON audit_events FOR EACH ROW EXECUTE FUNCTION audit_refuse_young()"
    )
    # Taken from the owner too by 0013; the triggers refuse it still, except within `audit_prune`.
    op.execute("GRANT DELETE ON audit_events TO CURRENT_USER")


def downgrade() -> None:
    op.execute("REVOKE DELETE ON audit_events FROM CURRENT_USER")
    op.execute("DROP TRIGGER refuse_young ON audit_events")
    op.execute("DROP TRIGGER bury ON files")
    for table in ("users", "conversations", "files", "conversation_files"):
        op.execute(f"DROP TRIGGER hold ON {table}")
    op.execute(_AUDIT_REFUSE_BEFORE)
    op.execute(_AUDIT_CHAIN_BEFORE)
    for function in (
        *("audit_prune()", "audit_first_held()", "audit_refuse_young()", "file_bury()"),
        *("hold_refuse()", "hold_refuse_detaching()"),
        *("held_files()", "held_file(uuid, uuid)", "held_conversation(uuid, uuid)"),
    ):
        op.execute(f"DROP FUNCTION {function}")
    op.drop_index("ix_conversations_updated_at", table_name="conversations")
    for table in ("deleted_files", "legal_holds", "retention_limits"):
        op.drop_table(table)
