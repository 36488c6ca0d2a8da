"""What all commands share: settings from options, environment and a running `up`; errors as one line."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from llama_service.errors import OperatorError
from llama_service.logging import configure_logging
from llama_service.runtime.keys import jwt_key_overrides, new_password
from llama_service.runtime.running import found_parts
from llama_service.settings import Settings, SettingsError, load_settings

EXIT_SETTINGS = 2

DataDirOption = Annotated[
    Path | None, typer.Option(help="Folder for the database, files, index and logs [DATA_DIR].", show_default=False)
]


class Commands(TyperGroup):
    """Runs a command; what it raises for the operator becomes one line and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command: a wrong setting exits with 2, another known error with 1, Ctrl-C with 130."""
        try:
            return super().invoke(ctx)
        except SettingsError as wrong:
            fail(str(wrong), EXIT_SETTINGS)
        except OperatorError as failed:
            fail(str(failed))
        except KeyboardInterrupt:
            raise typer.Exit(128 + signal.SIGINT) from None


def given(**options: object) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def first_look(options: dict[str, Any]) -> Settings:
    """Return the settings as far as they are known without what lies in the data folder: any key does for that."""
    return load_settings(**{"jwt_secret_key": new_password() * 3, **options})


def ready(**options: Any) -> Settings:
    """Return the settings; what they lack comes from an `up` that runs on the same data folder, if one does."""
    first = first_look(options)
    kept = jwt_key_overrides(first.data_dir, create=False)
    settings = load_settings(**options, **kept, **found_parts(first))
    configure_logging(settings)
    return settings


def fail(message: str, code: int = 1) -> NoReturn:
    """Say what is wrong on stderr, and end the command."""
    sys.stderr.write("".join(f"llama-service: {line}\n" for line in message.splitlines()))
    raise typer.Exit(code)
