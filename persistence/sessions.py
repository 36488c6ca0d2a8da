"""Sign-in sessions, as far as other statements have to ask whether one still stands."""

from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

SEEN_EVERY = timedelta(minutes=5)  # a session's last use is noted no more often


@dataclass(frozen=True, slots=True)
class Claims:
    """What an access token of ours says. Whether its session still stands is for the database to tell."""

    user_id: UUID
    session_id: UUID
    epoch: int


# Takes :user, :session, :epoch and :seen_every; a session whose use is to be noted takes the longer way too.
SESSION_IS_VALID = """
    SELECT FROM auth_sessions s JOIN users u ON u.id = s.user_id
    WHERE s.id = CAST(:session AS uuid) AND u.id = CAST(:user AS uuid) AND s.revoked_at IS NULL AND u.is_active
      AND u.token_epoch = CAST(:epoch AS int) AND s.last_seen_at > clock_timestamp() - CAST(:seen_every AS interval)
"""
