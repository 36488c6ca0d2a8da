"""Little servers that speak the providers' wires, faithful on good days and able to misbehave on demand."""

from tests.providers.aihub import AIHubServer
from tests.providers.base import Recorded, WireServer
from tests.providers.oidc import OidcServer
from tests.providers.ollama import OllamaServer
from tests.providers.openai import OpenAIServer

__all__ = ["AIHubServer", "OidcServer", "OllamaServer", "OpenAIServer", "Recorded", "WireServer"]
