"""LangChain's standard suites for our models, against servers that speak the real wires."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from chains.providers.aihub import AIHubEmbeddings, ChatAIHub
from chains.providers.aihub_access import Access
from chains.providers.aihub_token import Account
from chains.providers.openai import LeanChatOpenAI
from chains.providers.openai_embeddings import LeanOpenAIEmbeddings
from tests.providers import AIHubServer, OpenAIServer
from tests.providers.aihub import STREAM_PATH

# langchain-openai warns of its own doings: a v1 schema it converts, a parsed answer it serialises.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Background:
    """Servers in a loop and thread of their own: the suites call synchronously too."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        self.openai, self.hub = OpenAIServer(), AIHubServer()
        for server in (self.openai, self.hub):
            asyncio.run_coroutine_threadsafe(server.up(), self.loop).result(5)

    def close(self) -> None:
        for server in (self.openai, self.hub):
            asyncio.run_coroutine_threadsafe(server.down(), self.loop).result(5)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(5)
        self.loop.close()


class WithServers:
    """Brings the servers to a suite, whose properties want them before any fixture of their own."""

    servers: Background

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _servers(cls, request: pytest.FixtureRequest) -> Iterator[None]:
        request.cls.servers = Background()
        yield
        request.cls.servers.close()


class HubParams(WithServers):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return ChatAIHub

    @property
    def chat_model_params(self) -> dict[str, Any]:
        hub = self.servers.hub
        return {
            "model": "hub-chat",
            "hub_url": hub.url,
            "token_url": hub.token_url,
            "client_id": hub.client_id,
            "client_secret": hub.client_secret,
            "stream_path": STREAM_PATH,
        }

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "hub-small"

    @property
    def has_tool_calling(self) -> bool:
        return False  # the hub's wire has no tools

    @property
    def has_structured_output(self) -> bool:
        return False  # nor a format of the answer


class TestChatAIHubUnit(HubParams, ChatModelUnitTests):
    pass


class TestChatAIHub(HubParams, ChatModelIntegrationTests):
    pass


class TestChatAIHubWhole(TestChatAIHub):
    """The same where the hub can't stream."""

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {**super().chat_model_params, "stream_path": ""}


class HubEmbeddings(WithServers):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return AIHubEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        hub = self.servers.hub
        account = Account(hub.token_url, hub.client_id, hub.client_secret)
        return {"access": Access(hub.url, account), "model": "hub-embed"}


class TestAIHubEmbeddingsUnit(HubEmbeddings, EmbeddingsUnitTests):
    pass


class TestAIHubEmbeddings(HubEmbeddings, EmbeddingsIntegrationTests):
    pass


class OpenAIParams(WithServers):
    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return LeanChatOpenAI

    @property
    def chat_model_params(self) -> dict[str, Any]:
        url = self.servers.openai.url
        return {"model": "gpt-4o-mini", "base_url": url, "api_key": "sk-test", "stream_usage": True}


class TestLeanChatOpenAIUnit(OpenAIParams, ChatModelUnitTests):
    pass


class TestLeanChatOpenAI(OpenAIParams, ChatModelIntegrationTests):
    @property
    def supports_json_mode(self) -> bool:
        return True

    @property
    def supports_image_inputs(self) -> bool:
        return False  # the suite fetches its picture from the internet

    @property
    def supports_model_override(self) -> bool:
        return True

    @property
    def model_override_value(self) -> str:
        return "gpt-4"


class TestLeanOpenAIEmbeddings(WithServers, EmbeddingsIntegrationTests):
    @property
    def embeddings_class(self) -> type[Embeddings]:
        return LeanOpenAIEmbeddings

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        url = self.servers.openai.url
        return {
            "model": "text-embedding-3-small",
            "base_url": url,
            "api_key": "sk-test",
            "check_embedding_ctx_length": False,
        }
