"""Migrate an empty database and let Alembic compare it with the tables in the code (`alembic check`)."""

import asyncio
import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.util import CommandError

from llama_service.runtime.postgres import EmbeddedPostgres
from llama_service.settings import load_settings
from persistence.migrate import alembic_config, migrate


async def main() -> int:
    """Return 0 where migrations and tables agree."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with EmbeddedPostgres(folder, folder, fsync=False) as server:
            settings = load_settings(jwt_secret_key="x" * 40, database_url=server.dsn, _env_file=None)
            await asyncio.to_thread(migrate, settings)
            try:
                await asyncio.to_thread(command.check, alembic_config(settings.postgres_migration))
            except CommandError as different:
                print(different, file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
