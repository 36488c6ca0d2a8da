"""Commands on accounts."""

from typing import Annotated

import typer

from llama_service.cli.common import fail, ready
from llama_service.runtime.keys import ADMIN_EMAIL, ADMIN_NAME, new_password


def create_admin(
    username: Annotated[str, typer.Option(help="Name to sign in with.")] = ADMIN_NAME,
    email: Annotated[str, typer.Option(help="E-mail address.")] = ADMIN_EMAIL,
    password: Annotated[
        str | None,
        typer.Option(help="Password [ADMIN_PASSWORD]; one is generated where it is absent.", show_default=False),
    ] = None,
) -> None:
    """Create an administrator."""
    from auth.admin import create_admin as create

    settings = ready()
    if password is None and settings.admin_password is not None:
        password = settings.admin_password.get_secret_value()
    chosen = password or new_password()
    if not create(settings, username, email, chosen):
        fail(f"there is a user {username!r} or an e-mail address {email!r} already")
    typer.echo(f"Created the administrator {username}.")
    if password is None:
        typer.echo(f"Password: {chosen}  (shown only now)")


def reset_two_factor(username: Annotated[str, typer.Argument(help="Name or e-mail address of the account.")]) -> None:
    """Let somebody in again who has lost phone and recovery codes: the password alone is enough from now on."""
    from auth.admin import reset_two_factor as reset

    if not reset(ready(), username):
        fail(f"there is no user {username!r} with two-factor sign-in")
    typer.echo(f"Two-factor sign-in of {username} is off.")
