"""What tools cost: a turn that has them on and calls none, and one that calls three, each in a round of its own."""

from bench.load import Account, Heard, clients, listen, median, provider_body, settle
from bench.report import Row
from bench.stage import Script, Stage

_WARM_UP = 10
_ROUNDS = 3


async def run(stage: Stage, quick: bool) -> list[Row]:
    """Ask in turn without tools and with them; what the provider takes for its further answers is subtracted."""
    turns = 30 if quick else 150
    async with clients() as session:
        api = await stage.serve()
        account = await Account(session, api.url).join()
        direct_url = f"{stage.environment['OPENAI_BASE_URL']}/chat/completions"
        heard = {rounds: await _heard(stage, account, direct_url, rounds, turns) for rounds in (0, _ROUNDS)}
        await api.child.stop()
    first = {name: median([each.first for each in answers]) for name, answers in heard[0].items()}
    whole = {name: median([each.whole * 1000 for each in answers]) for name, answers in heard[_ROUNDS].items()}
    added = whole["with"] - whole["without"] - _ROUNDS * whole["direct"]
    note = f"the model's own {_ROUNDS} answers taken off"
    return [
        Row("tools", "first token with tools on, none called", first["with"] / first["without"], "times", 1.05),
        Row("tools", f"added by {_ROUNDS} rounds of one call", added, "ms", 25, note=note),
    ]


async def _heard(stage: Stage, account: Account, direct_url: str, rounds: int, turns: int) -> dict[str, list[Heard]]:
    """Return the answers of a model that calls a tool so many times, asked in each way."""
    await stage.say(Script(tokens=8, rate=0, rounds=rounds))
    heard: dict[str, list[Heard]] = {"direct": [], "without": [], "with": []}
    conversation = ""
    for number in range(turns + _WARM_UP):
        if number % 10 == 0:
            conversation = await account.conversation(turns=3)
        for name, answers in heard.items():
            if name == "direct":
                answer = await listen(account.session, direct_url, provider_body("How are you?"))
            else:
                tools = ["calculate"] if name == "with" else []
                answer = await account.ask("How are you?", conversation_id=conversation, tools=tools)
            await settle(0.05)
            if number >= _WARM_UP:
                answers.append(answer)
    return heard
