"""The schema. SQL is the record: vector index and checkpoints can be rebuilt or dropped without losing a word."""

from datetime import datetime
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    DateTime,
    FetchedValue,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    Uuid,
    func,
    true,
)
from sqlalchemy import (
    text as sql_text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from llama_service.ids import new_id


class Base(DeclarativeBase):
    """Common metadata: constraints get predictable names, so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(none_as_null=True),
        list[dict[str, Any]]: JSONB(none_as_null=True),
    }


_NOW = func.clock_timestamp()
SEALED = {"sealed": True}
"""Marks columns that hold what `llama_service.vault` has encrypted, each row for itself."""


class User(Base):
    """An account. `token_epoch` is in every token: raising it ends all of them at once."""

    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    username: Mapped[str] = mapped_column(String(64))
    email: Mapped[str] = mapped_column(String(320))
    hashed_password: Mapped[str] = mapped_column(String(1024))
    is_active: Mapped[bool] = mapped_column(default=True)
    is_superuser: Mapped[bool] = mapped_column(default=False)
    is_verified: Mapped[bool] = mapped_column(default=False)
    token_epoch: Mapped[int] = mapped_column(default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (
        Index("uq_users_username_lower", sql_text("lower(username)"), unique=True),
        Index("uq_users_email_lower", sql_text("lower(email)"), unique=True),
    )


class AuthSession(Base):
    """One sign-in. Its refresh token is kept as a hash; presenting a spent one revokes the session."""

    __tablename__ = "auth_sessions"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    refresh_hash: Mapped[bytes] = mapped_column(LargeBinary)
    user_agent: Mapped[str | None] = mapped_column(String(400))
    ip: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    last_seen_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class ApiKey(Base):
    """A key that a program signs in with. The key is shown once and kept as a hash; `prefix` tells keys apart."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    prefix: Mapped[str] = mapped_column(String(16))
    key_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    scopes: Mapped[list[str]] = mapped_column(ARRAY(String(40)))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Identity(Base):
    """An account at a sign-in provider (OpenID Connect) that one of ours belongs to."""

    __tablename__ = "identities"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(255))
    email: Mapped[str | None] = mapped_column(String(320))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    last_sign_in_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (Index("uq_identities_provider_subject", "provider", "subject", unique=True),)


class ProviderSession(Base):
    """What a sign-in through a provider left: its tokens, encrypted. Deleted when the session of ours ends."""

    __tablename__ = "provider_sessions"

    session_id: Mapped[UUID] = mapped_column(ForeignKey("auth_sessions.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    provider: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(255))
    sid: Mapped[str | None] = mapped_column(String(255))
    tokens: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED)
    access_expires_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (Index("ix_provider_sessions_provider_subject", "provider", "subject"),)


class SecondFactor(Base):
    """An authenticator app of an account: its secret, encrypted, and hashes of the recovery codes that are left.

    Without `confirmed_at` the app was not proven yet, and counts for nothing. `last_step` is the newest 30-second step
    whose code was used: a code is good once.
    """

    __tablename__ = "second_factors"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED)
    recovery_hashes: Mapped[list[bytes]] = mapped_column(ARRAY(LargeBinary))
    last_step: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    confirmed_at: Mapped[datetime | None]


class Profile(Base):
    """What a person wants every answer to respect: instructions, and whether what is remembered of them is used."""

    __tablename__ = "profiles"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    instructions: Mapped[str | None] = mapped_column(Text)
    use_memory: Mapped[bool] = mapped_column(default=True, server_default="true")


class Memory(Base):
    """A sentence that is remembered of a person, for all of their conversations."""

    __tablename__ = "memories"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class SavedPrompt(Base):
    """A text that is asked again and again; `{{name}}` in it is filled in when it is used."""

    __tablename__ = "saved_prompts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    title: Mapped[str] = mapped_column(String(100))
    content: Mapped[str] = mapped_column(Text)
    # Whether everybody who is signed in finds it; changing it stays its owner's.
    shared: Mapped[bool] = mapped_column(default=False, server_default="false")
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (Index("ix_saved_prompts_shared", "id", postgresql_where=sql_text("shared")),)


class Project(Base):
    """Conversations that belong together, with instructions and files of their own."""

    __tablename__ = "projects"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    instructions: Mapped[str | None] = mapped_column(Text)
    # Libraries that its conversations search, as far as their owner may see them.
    library_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), default=list, server_default="{}")
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class ProjectFile(Base):
    """A file that every conversation of a project searches."""

    __tablename__ = "project_files"

    project_id: Mapped[UUID] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True, index=True)


class Assistant(Base):
    """A model with a system prompt, tools and files, saved under a name.

    What a conversation says of its own goes before it. `tools` is None for the operator's choice.
    """

    __tablename__ = "assistants"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str | None] = mapped_column(String(400))
    # A small picture as a data URL; None: the page draws the name's first letter.
    picture: Mapped[str | None] = mapped_column(Text)
    model_source: Mapped[str | None] = mapped_column(String(20))
    model_name: Mapped[str | None] = mapped_column(String(200))
    system_prompt: Mapped[str | None] = mapped_column(Text)
    tools: Mapped[list[str] | None] = mapped_column(ARRAY(String(128)))
    # Libraries that its conversations search, as far as whoever chats may see them.
    library_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), default=list, server_default="{}")
    # Whether everybody who is signed in may chat with it. Its files are searched for whoever may read them.
    shared: Mapped[bool] = mapped_column(default=False, server_default="false")
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (Index("ix_assistants_shared", "id", postgresql_where=sql_text("shared")),)


class AssistantFile(Base):
    """A file that every conversation with an assistant searches."""

    __tablename__ = "assistant_files"

    assistant_id: Mapped[UUID] = mapped_column(ForeignKey("assistants.id", ondelete="CASCADE"), primary_key=True)
    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True, index=True)


class Group(Base):
    """People of a company: libraries are shared with groups, tools and models allowed to them.

    Where `provider` and `claim` are set, who signs in through that provider is a member as long as the provider names
    that group in its tokens.
    """

    __tablename__ = "groups"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(100))
    provider: Mapped[str | None] = mapped_column(String(40))
    claim: Mapped[str | None] = mapped_column(String(255))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (
        Index("uq_groups_name_lower", sql_text("lower(name)"), unique=True),
        Index("ix_groups_provider_claim", "provider", "claim"),
    )


class GroupMember(Base):
    """A member of a group. `role` is member or manager; `via` the sign-in provider that rules it, None for a person."""

    __tablename__ = "group_members"

    group_id: Mapped[UUID] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(10), default="member", server_default="member")
    via: Mapped[str | None] = mapped_column(String(40))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class Library(Base):
    """Files that several people ask. It belongs to its editors together, and to nobody alone."""

    __tablename__ = "libraries"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str | None] = mapped_column(String(400))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class LibraryMember(Base):
    """A person or a group (one of both) that may read a library (`viewer`) or change it too (`editor`)."""

    __tablename__ = "library_members"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    library_id: Mapped[UUID] = mapped_column(ForeignKey("libraries.id", ondelete="CASCADE"))
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    group_id: Mapped[UUID | None] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"))
    role: Mapped[str] = mapped_column(String(10))
    # Whether every conversation of these people searches it until they take it out.
    is_default: Mapped[bool] = mapped_column(default=False, server_default="false")
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (
        CheckConstraint("num_nonnulls(user_id, group_id) = 1", name="one_member"),
        Index("uq_library_members_user_id_library_id", "user_id", "library_id", unique=True),
        Index("uq_library_members_group_id_library_id", "group_id", "library_id", unique=True),
        Index("ix_library_members_library_id", "library_id"),
    )


class LibraryFile(Base):
    """A file of a library. It stays its owner's; whoever may see the library may read it."""

    __tablename__ = "library_files"

    library_id: Mapped[UUID] = mapped_column(ForeignKey("libraries.id", ondelete="CASCADE"), primary_key=True)
    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True, index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class Invitation(Base):
    """A link by which people make accounts, where registration is closed too; its token is kept as a hash."""

    __tablename__ = "invitations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    note: Mapped[str | None] = mapped_column(String(100))
    # The groups that whoever comes by it is taken into.
    group_ids: Mapped[list[UUID]] = mapped_column(ARRAY(Uuid), default=list, server_default="{}")
    uses_left: Mapped[int]
    expires_at: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class Announcement(Base):
    """Something that administrators tell everybody, above every page, until a time or until it is taken back."""

    __tablename__ = "announcements"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    text: Mapped[str] = mapped_column(String(500))
    is_warning: Mapped[bool] = mapped_column(default=False, server_default="false")
    until: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class Budget(Base):
    """What may be spent on models in a day or a month: by a person, by a group, or by everybody (neither is set).

    With `each`, a group's or everybody's is for each of them; else for all of them together. Limits that are None are
    none. `money` is in US dollars.
    """

    __tablename__ = "budgets"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    group_id: Mapped[UUID | None] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"))
    each: Mapped[bool] = mapped_column(default=False, server_default="false")
    period: Mapped[str] = mapped_column(String(5))
    tokens: Mapped[int | None] = mapped_column(BigInteger)
    requests: Mapped[int | None] = mapped_column(BigInteger)
    money: Mapped[float | None] = mapped_column(Float)
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (
        CheckConstraint("num_nonnulls(user_id, group_id) <= 1", name="one_subject"),
        Index(
            "uq_budgets_subject",
            sql_text("coalesce(user_id, group_id, '00000000-0000-0000-0000-000000000000')"),
            "each",
            "period",
            unique=True,
        ),
    )


class BudgetUse(Base):
    """What was spent of a budget in the period that began at `began` (UTC), with what is reserved just now.

    `holder` is the person whose spending it is, the nil UUID where they spend together.
    """

    __tablename__ = "budget_use"

    budget_id: Mapped[UUID] = mapped_column(ForeignKey("budgets.id", ondelete="CASCADE"), primary_key=True)
    holder: Mapped[UUID] = mapped_column(primary_key=True)
    began: Mapped[datetime] = mapped_column(primary_key=True)
    tokens: Mapped[int] = mapped_column(BigInteger)
    requests: Mapped[int] = mapped_column(BigInteger)
    money: Mapped[float] = mapped_column(Float)


class BudgetReservation(Base):
    """What a call that is going on may still spend of a budget; it lapses where its process has died."""

    __tablename__ = "budget_reservations"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    budget_id: Mapped[UUID] = mapped_column(ForeignKey("budgets.id", ondelete="CASCADE"), primary_key=True)
    holder: Mapped[UUID]
    began: Mapped[datetime]
    tokens: Mapped[int] = mapped_column(BigInteger)
    money: Mapped[float] = mapped_column(Float)
    expires_at: Mapped[datetime] = mapped_column(index=True)


class ModelRule(Base):
    """What a group (None: everybody) is allowed of models: see `persistence.model_rules`.

    `allowed` lists models as `{"source", "name"}`, all of a source where the name is null; None allows every model.
    """

    __tablename__ = "model_rules"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    group_id: Mapped[UUID | None] = mapped_column(ForeignKey("groups.id", ondelete="CASCADE"))
    allowed: Mapped[list[dict[str, Any]] | None]
    default_source: Mapped[str | None] = mapped_column(String(20))
    default_name: Mapped[str | None] = mapped_column(String(200))
    system_prompt: Mapped[str | None] = mapped_column(Text)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (
        Index(
            "uq_model_rules_subject",
            sql_text("coalesce(group_id, '00000000-0000-0000-0000-000000000000')"),
            unique=True,
        ),
    )


class ModelPrice(Base):
    """What a model costs, as an administrator has set it: US dollars for a million tokens in, and out."""

    __tablename__ = "model_prices"

    model_source: Mapped[str] = mapped_column(String(20), primary_key=True)
    model_name: Mapped[str] = mapped_column(String(200), primary_key=True)
    input: Mapped[float] = mapped_column(Float)
    output: Mapped[float] = mapped_column(Float)


class SchemaFloor(Base):
    """One row: the oldest revision whose code can still work with this database (`persistence.migrate`)."""

    __tablename__ = "schema_floor"

    is_only: Mapped[bool] = mapped_column(primary_key=True, server_default=true())
    oldest_code: Mapped[str] = mapped_column(String(32))

    __table_args__ = (CheckConstraint("is_only", name="one_row"),)


class AuditEvent(Base):
    """Something that somebody did. Postgres numbers and chains the rows, and lets none be changed or deleted.

    No foreign keys: what was done outlives who did it, and what it was done to.
    """

    __tablename__ = "audit_events"

    id: Mapped[int] = mapped_column(BigInteger, FetchedValue(), primary_key=True, autoincrement=False)
    at: Mapped[datetime] = mapped_column(index=True)
    actor_id: Mapped[UUID | None] = mapped_column(index=True)
    actor: Mapped[str | None] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(40), index=True)
    object_kind: Mapped[str | None] = mapped_column(String(20))
    object_id: Mapped[str | None] = mapped_column(String(64), index=True)
    details: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    ip: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(128))
    previous: Mapped[bytes | None] = mapped_column(LargeBinary)
    hash: Mapped[bytes] = mapped_column(LargeBinary)


class RetentionLimit(Base):
    """How many days a kind of record is kept; one that is not here is kept for good (events: for an hour)."""

    __tablename__ = "retention_limits"

    store: Mapped[str] = mapped_column(String(20), primary_key=True)
    days: Mapped[int]


class LegalHold(Base):
    """A person or a conversation (one of both) of which nothing may be deleted until the hold is released.

    Triggers on users, conversations, files and attachments refuse it (migration 0016), whoever asks.
    """

    __tablename__ = "legal_holds"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id"))
    conversation_id: Mapped[UUID | None] = mapped_column(ForeignKey("conversations.id"))
    reason: Mapped[str] = mapped_column(String(400))
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (
        CheckConstraint("num_nonnulls(user_id, conversation_id) = 1", name="one_subject"),
        Index("uq_legal_holds_user_id", "user_id", unique=True),
        Index("uq_legal_holds_conversation_id", "conversation_id", unique=True),
    )


class DeletedFile(Base):
    """Whose a file was that is gone (a trigger writes it): other people's answers may quote it.

    `to_erase` tells that its owner was erased, and that those passages are still to be taken out.
    """

    __tablename__ = "deleted_files"

    file_id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(index=True)
    to_erase: Mapped[bool] = mapped_column(default=False, server_default="false")


class LoginFailure(Base):
    """A failed sign-in, counted per account name and per address within the last minutes."""

    __tablename__ = "login_failures"

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=True)
    account: Mapped[str] = mapped_column(String(320))
    ip: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (
        Index("ix_login_failures_account_created_at", "account", "created_at"),
        Index("ix_login_failures_ip_created_at", "ip", "created_at"),
    )


class Conversation(Base):
    """A tree of messages; `leaf_id` is the end of the branch that its owner looks at."""

    __tablename__ = "conversations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    title: Mapped[str | None] = mapped_column(String(200))
    title_source: Mapped[str] = mapped_column(String(10), default="none", server_default="none")
    model_source: Mapped[str | None] = mapped_column(String(20))
    model_name: Mapped[str | None] = mapped_column(String(200))
    system_prompt: Mapped[str | None] = mapped_column(Text)
    archived: Mapped[bool] = mapped_column(default=False, server_default="false")
    pinned: Mapped[bool] = mapped_column(default=False, server_default="false")
    # Whether a question that names no files is also answered from its owner's library.
    search_library: Mapped[bool] = mapped_column(default=True, server_default="true")
    # The shared libraries that it searches; None for its owner's default ones, its project's and its assistant's.
    library_ids: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    # Names of the tools that are on, None for the operator's choice; those that need no approval here any more.
    tools: Mapped[list[str] | None] = mapped_column(ARRAY(String(128)))
    approved_tools: Mapped[list[str]] = mapped_column(ARRAY(String(128)), default=list, server_default="{}")
    project_id: Mapped[UUID | None] = mapped_column(ForeignKey("projects.id", ondelete="SET NULL"), index=True)
    assistant_id: Mapped[UUID | None] = mapped_column(ForeignKey("assistants.id", ondelete="SET NULL"), index=True)
    # Listed nowhere, without memory, and deleted some hours after its last message.
    temporary: Mapped[bool] = mapped_column(default=False, server_default="false")
    # What clients of the Agent Server protocol keep with their threads.
    client_metadata: Mapped[dict[str, Any] | None]
    # No foreign key: leaf and messages would refer to each other in a circle.
    leaf_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (
        Index("ix_conversations_page", "user_id", "archived", sql_text("updated_at DESC"), sql_text("id DESC")),
        Index("ix_conversations_updated_at", "updated_at"),
        Index("ix_conversations_temporary", "updated_at", postgresql_where=sql_text("temporary")),
        Index(
            "ix_conversations_title_trgm",
            sql_text("lower(title)"),
            postgresql_using="gin",
            postgresql_ops={"lower(title)": "gin_trgm_ops"},
        ),
    )


class Share(Base):
    """A frozen copy of a conversation's branch that others read by a link.

    The link's token is kept as a hash. `messages` is what readers are shown; sources are in it only where the sharer
    said so. Revoking deletes the row.
    """

    __tablename__ = "shares"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), index=True)
    token_hash: Mapped[bytes] = mapped_column(LargeBinary, unique=True)
    audience: Mapped[str] = mapped_column(String(10))
    with_sources: Mapped[bool]
    title: Mapped[str | None] = mapped_column(String(200))
    messages: Mapped[list[dict[str, Any]]]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    expires_at: Mapped[datetime | None]


class Message(Base):
    """A node of a conversation's tree. Siblings answer, or ask, in the same place."""

    __tablename__ = "messages"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"))
    parent_id: Mapped[UUID | None] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), index=True)
    role: Mapped[str] = mapped_column(String(10))
    content: Mapped[str] = mapped_column(Text, default="", server_default="")
    # What the model thought before and while it answered: shown folded, never searched, never sent back to a model.
    reasoning: Mapped[str | None] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(12), default="complete", server_default="complete")
    sources: Mapped[list[dict[str, Any]] | None]
    # How likely the sources hold the answer: likely, possible or weak; null where nothing told.
    confidence: Mapped[str | None] = mapped_column(String(8))
    # The tools that were called for the answer, as its readers saw them.
    steps: Mapped[list[dict[str, Any]] | None]
    # The pictures that a question shows; those whose files are gone are left out.
    images: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    model_source: Mapped[str | None] = mapped_column(String(20))
    model_name: Mapped[str | None] = mapped_column(String(200))
    fallback_from: Mapped[str | None] = mapped_column(String(20))
    finish_reason: Mapped[str | None] = mapped_column(String(40))
    usage: Mapped[dict[str, Any] | None]
    timings: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    rating: Mapped[str | None] = mapped_column(String(4))
    comment: Mapped[str | None] = mapped_column(Text)
    # Why an answer was rated so, by code; whether administrators may read it with its question.
    rating_reasons: Mapped[list[str] | None] = mapped_column(ARRAY(String(20)))
    rating_shows_text: Mapped[bool] = mapped_column(default=False, server_default="false")
    rated_at: Mapped[datetime | None]
    run_id: Mapped[UUID | None]
    # The graph's state after this answer: a question below it runs from there. Absent or pruned, it is rebuilt.
    checkpoint_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    # `russian` stems Cyrillic words as Russian and ASCII words as English. A tsvector holds 1 MB at most.
    tsv: Mapped[Any] = mapped_column(
        TSVECTOR, Computed("to_tsvector('russian'::regconfig, left(content, 100000))", persisted=True)
    )

    __table_args__ = (
        Index("ix_messages_conversation_id_parent_id", "conversation_id", "parent_id"),
        Index("ix_messages_rated_at", sql_text("rated_at DESC"), postgresql_where=sql_text("rated_at IS NOT NULL")),
        Index("ix_messages_tsv", "tsv", postgresql_using="gin"),
        Index(
            "ix_messages_content_trgm",
            sql_text("lower(left(content, 2000))"),
            postgresql_using="gin",
            postgresql_ops={"lower(left(content, 2000))": "gin_trgm_ops"},
        ),
    )


class Run(Base):
    """The execution of the graph for one answer: which worker has it until when, what was asked and how it went.

    `status` is running, waiting (for a person), completed, stopped, failed or interrupted. `attempt` counts the workers
    that have tried. `interrupts` is what a waiting run asks of a person, `resume` is the answer to it.
    """

    __tablename__ = "runs"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), index=True)
    user_id: Mapped[UUID | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    user_message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"))
    message_id: Mapped[UUID] = mapped_column(ForeignKey("messages.id", ondelete="CASCADE"), index=True)
    status: Mapped[str] = mapped_column(String(12), default="running", server_default="running")
    worker: Mapped[UUID]
    lease_until: Mapped[datetime]
    attempt: Mapped[int] = mapped_column(default=1, server_default="1")
    cancel_requested: Mapped[bool] = mapped_column(default=False, server_default="false")
    interrupts: Mapped[list[dict[str, Any]] | None]
    resume: Mapped[Any | None] = mapped_column(JSONB)
    request: Mapped[dict[str, Any]]
    trace: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    finished_at: Mapped[datetime | None]

    __table_args__ = (
        # One answer of a model at a time to a question; two models may answer it side by side.
        Index(
            "uq_runs_open_question_model",
            "user_message_id",
            sql_text("coalesce(request ->> 'model_source', '')"),
            sql_text("coalesce(request ->> 'model_name', '')"),
            unique=True,
            postgresql_where=sql_text("status IN ('running', 'waiting')"),
        ),
        Index("ix_runs_running_lease", "lease_until", postgresql_where=sql_text("status = 'running'")),
        Index("ix_runs_finished_at", "finished_at"),
    )


class ToolCall(Base):
    """A call of a tool within a run: written before it begins and when it has ended, so that it runs once.

    `status` is waiting (for a person), running, done, failed or denied; `result` is what the tool gave.
    """

    __tablename__ = "tool_calls"

    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    status: Mapped[str] = mapped_column(String(10))
    result: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class McpServer(Base):
    """A server of tools (Model Context Protocol) that an administrator has added.

    `headers` are encrypted. `tools` are its tools as it last told them, `error` is why it could not be asked.
    `approval` is always, never or per_tool; `tool_approval` holds an administrator's word on single tools.
    """

    __tablename__ = "mcp_servers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    name: Mapped[str] = mapped_column(String(40), unique=True)
    url: Mapped[str] = mapped_column(Text)
    transport: Mapped[str] = mapped_column(String(20))
    headers: Mapped[bytes | None] = mapped_column(LargeBinary, info=SEALED)
    header_names: Mapped[list[str]] = mapped_column(ARRAY(String(100)), default=list, server_default="{}")
    # The header that tells the server who asks (their e-mail address), None where it shall not know.
    user_header: Mapped[str | None] = mapped_column(String(100))
    enabled: Mapped[bool] = mapped_column(default=True, server_default="true")
    approval: Mapped[str] = mapped_column(String(10), default="per_tool", server_default="per_tool")
    tool_approval: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")
    # The groups whose members may use its tools; None for everybody.
    allowed_groups: Mapped[list[UUID] | None] = mapped_column(ARRAY(Uuid))
    tools: Mapped[list[dict[str, Any]]] = mapped_column(default=list, server_default="[]")
    error: Mapped[str | None] = mapped_column(Text)
    checked_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)


class RunEvent(Base):
    """What a run told its readers, in order; `data` is the line of JSON that went out."""

    __tablename__ = "run_events"

    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(Integer, primary_key=True)
    event: Mapped[str] = mapped_column(String(12))
    data: Mapped[str] = mapped_column(Text)


class File(Base):
    """An uploaded file and how far its indexing is. It is found by searches from `searchable` on."""

    __tablename__ = "files"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(400))
    mime: Mapped[str] = mapped_column(String(120))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16), default="pending", server_default="pending")
    stage: Mapped[str] = mapped_column(String(10), default="queued", server_default="queued")
    progress: Mapped[float] = mapped_column(Float, default=0.0, server_default="0")
    chunks_total: Mapped[int] = mapped_column(default=0, server_default="0")
    chunks_indexed: Mapped[int] = mapped_column(default=0, server_default="0")
    searchable: Mapped[bool] = mapped_column(default=False, server_default="false")
    error: Mapped[dict[str, Any] | None]
    text: Mapped[str | None] = mapped_column(Text, deferred=True)
    blocks: Mapped[list[dict[str, Any]] | None] = mapped_column(deferred=True)
    # Words of each passage, by position: BM25 needs the lengths of the whole scope, not its texts.
    passage_lengths: Mapped[list[int] | None] = mapped_column(ARRAY(Integer), deferred=True)
    embedding_model: Mapped[str | None] = mapped_column(String(200))
    # Whether it belongs to its owner's library, or only to the conversations that it is attached to.
    in_library: Mapped[bool] = mapped_column(default=True, server_default="true")
    # The older version whose place it takes when it becomes searchable.
    replaces_id: Mapped[UUID | None] = mapped_column(ForeignKey("files.id", ondelete="SET NULL"))
    created_at: Mapped[datetime] = mapped_column(server_default=_NOW)
    updated_at: Mapped[datetime] = mapped_column(server_default=_NOW)

    __table_args__ = (
        Index("ix_files_user_id_id", "user_id", sql_text("id DESC")),
        Index("ix_files_user_id_sha256", "user_id", "sha256"),
        Index("ix_files_sha256", "sha256"),
        Index("ix_files_replaces_id", "replaces_id", postgresql_where=sql_text("replaces_id IS NOT NULL")),
    )


class BlobLeftover(Base):
    """Bytes that may have no file any more: to be looked at, and deleted where that is so."""

    __tablename__ = "blob_leftovers"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    since: Mapped[datetime] = mapped_column(server_default=_NOW)


class ConversationFile(Base):
    """A file at hand in a conversation; `message_id` is the question that was asked with it, once one was."""

    __tablename__ = "conversation_files"

    conversation_id: Mapped[UUID] = mapped_column(ForeignKey("conversations.id", ondelete="CASCADE"), primary_key=True)
    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True, index=True)
    message_id: Mapped[UUID | None] = mapped_column(ForeignKey("messages.id", ondelete="SET NULL"), index=True)


class Passage(Base):
    """A searched piece of a file: `text` is `file.text[start_char:end_char]`."""

    __tablename__ = "passages"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=new_id)
    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"))
    position: Mapped[int]
    text: Mapped[str] = mapped_column(Text)
    start_char: Mapped[int]
    end_char: Mapped[int]
    context_start: Mapped[int]
    context_end: Mapped[int]
    page: Mapped[int | None]
    heading: Mapped[str | None] = mapped_column(Text)
    # What is embedded where it is not the text itself: the text under the heading that it lacks.
    searched: Mapped[str | None] = mapped_column(Text, deferred=True)
    # The white space up to the next passage, so that neighbours join to exactly what the file says.
    gap: Mapped[str] = mapped_column(Text, default="", server_default="")
    # float32, little-endian, of unit length; the truth that the vector index is rebuilt from.
    vector: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)

    __table_args__ = (Index("uq_passages_file_id_position", "file_id", "position", unique=True),)


class Posting(Base):
    """Where in a file a term stands: parallel arrays of passage positions and counts."""

    __tablename__ = "postings"

    file_id: Mapped[UUID] = mapped_column(ForeignKey("files.id", ondelete="CASCADE"), primary_key=True)
    term: Mapped[str] = mapped_column(String(80), primary_key=True)
    positions: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    frequencies: Mapped[list[int]] = mapped_column(ARRAY(Integer))
