"""Added time to the first token: a kept, authenticated turn without files, against the bare proxy."""

from collections.abc import Awaitable, Callable

from bench.load import Account, Heard, clients, listen, median, percentile, provider_body, settle
from bench.report import Row
from bench.stage import Script, Stage

_WARM_UP = 20


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Ask the provider, the proxy and the service in turn; what the provider takes itself is subtracted."""
    rounds = 40 if quick else 200
    await stage.say(Script(tokens=8, rate=0))
    direct_url = f"{stage.environment['OPENAI_BASE_URL']}/chat/completions"
    async with clients() as session:
        proxy, api = await stage.proxy(), await stage.serve()
        account = await Account(session, api.url).join()
        conversation, v1_url = "", f"{api.url}/v1/chat/completions"
        ways: dict[str, Callable[[], Awaitable[Heard]]] = {
            "direct": lambda: listen(session, direct_url, provider_body("How are you?")),
            "proxy": lambda: listen(session, f"{proxy.url}/chat/completions", provider_body("How are you?")),
            "service": lambda: account.ask("How are you?", conversation_id=conversation),
            "v1": lambda: listen(session, v1_url, provider_body("How are you?"), account.headers),
        }
        firsts: dict[str, list[float]] = {name: [] for name in ways}
        for number in range(rounds + _WARM_UP):
            if number % 10 == 0:  # a talk of usual length: what a long one costs is measured elsewhere
                conversation = await account.conversation(turns=3)
            for name, ask in ways.items():
                heard = await ask()
                await settle(0.05)
                if number >= _WARM_UP:
                    firsts[name].append(heard.first * 1000)
        for part in (proxy, api):
            await part.child.stop()
    base = median(firsts["direct"])
    added = {name: [value - base for value in firsts[name]] for name in ("proxy", "service", "v1")}
    middle = {name: median(values) for name, values in added.items()}
    return [
        Row("first token", "added by the service, median", middle["service"], "ms", note=f"{rounds} turns, one by one"),
        Row("first token", "added by the service, p95", percentile(added["service"], 0.95), "ms"),
        Row("first token", "added by the bare proxy, median", middle["proxy"], "ms"),
        Row("first token", "added by the bare proxy, p95", percentile(added["proxy"], 0.95), "ms"),
        Row("first token", "service to proxy", middle["service"] / middle["proxy"], "times", 3),
        Row("first token", "/v1, nothing kept, to proxy", middle["v1"] / middle["proxy"], "times", 1.3),
    ]
