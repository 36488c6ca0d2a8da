"""Rights under random change: after each step every door shows exactly what a small model of the rights says.

The model below knows nothing of the queries: sets of members, and who is in which group.
"""

import asyncio
import json
import random
from dataclasses import dataclass, field
from typing import Any

from tests.conftest import Join
from tests.integration.api.test_libraries import admin as admin
from tests.integration.api.test_libraries import expel, group, library, user_id
from tests.integration.api.test_shares import shared
from tests.providers import OpenAIServer
from tests.support import Person, events_of

STEPS, SEED = 24, 15


@dataclass
class Model:
    """Who may read what, by names: the whole rule is `may_read`."""

    owners: dict[str, str]
    groups: dict[str, set[str]] = field(default_factory=dict)
    # Members of a library: names of people and of groups, with whether it is a default one of theirs.
    members: dict[str, dict[str, bool]] = field(default_factory=dict)
    files: dict[str, set[str]] = field(default_factory=dict)

    def _hers(self, person: str, where: str) -> list[bool]:
        """Return for each way in which a person sees a library whether it is a default one."""
        return [
            default
            for member, default in self.members.get(where, {}).items()
            if member == person or person in self.groups.get(member, ())
        ]

    def sees(self, person: str, where: str) -> bool:
        return bool(self._hers(person, where))

    def may_read(self, person: str, file: str) -> bool:
        if file not in self.owners:
            return False
        return self.owners[file] == person or any(
            file in held and self.sees(person, where) for where, held in self.files.items()
        )

    def finds(self, person: str) -> set[str]:
        """Return what a search without a scope finds: one's own files and those of one's default libraries."""
        by_default = {file for where, held in self.files.items() if any(self._hers(person, where)) for file in held}
        return {file for file, owner in self.owners.items() if owner == person} | by_default


@dataclass
class Answer:
    """An answer that a person once had of a file, maybe their `own`, and the link by which they shared it."""

    person: str
    file: str
    own: bool
    conversation: str
    message: str
    run: str
    link: str


@dataclass
class World:
    """The real thing, by the names of the model."""

    people: dict[str, Person]
    admin: Person
    keeper: Person  # an editor of every library, who owns no file
    reader: Person  # reads shared links alone
    groups: dict[str, str]
    libraries: dict[str, str]
    files: dict[str, str]
    texts: dict[str, str]
    answers: list[Answer] = field(default_factory=list)


@dataclass
class Change:
    """Changes of the world, each made in the model too. A step that makes no sense just now changes nothing."""

    world: World
    model: Model
    dice: random.Random
    person: str = ""
    crowd: str = ""
    where: str = ""
    file: str = ""

    async def any(self) -> str:
        """Change one thing; return what it was."""
        people, groups = sorted(self.world.people), sorted(self.world.groups)
        self.person, self.crowd = self.dice.choice(people), self.dice.choice(groups)
        self.where, self.file = (
            self.dice.choice(sorted(self.model.members)),
            self.dice.choice(sorted(self.model.owners)),
        )
        steps = [self.let_person, self.let_group, self.make_default, self.expel_person, self.expel_group]
        steps += [self.join, self.leave, self.add, self.take_out, self.delete]
        step = self.dice.choice(steps)
        await step()
        return f"{step.__name__}: {self.person}, {self.crowd}, {self.where}, {self.file}"

    @property
    def _library(self) -> str:
        return f"/libraries/{self.world.libraries[self.where]}"

    async def _put(self, **member: Any) -> None:
        done = await self.world.keeper.http.put(f"{self._library}/members", json=member)
        assert done.status_code == 200, done.text

    async def let_person(self) -> None:
        await self._put(username=self.world.people[self.person].name)
        self.model.members[self.where][self.person] = False

    async def let_group(self) -> None:
        await self._put(group_id=self.world.groups[self.crowd])
        self.model.members[self.where][self.crowd] = False

    async def make_default(self) -> None:
        await self._put(group_id=self.world.groups[self.crowd], is_default=True)
        self.model.members[self.where][self.crowd] = True

    async def expel_person(self) -> None:
        await self._expel(self.person, self.world.people[self.person].name)

    async def expel_group(self) -> None:
        listed = (await self.world.admin.get("/groups"))["items"]
        (name,) = [row["name"] for row in listed if row["id"] == self.world.groups[self.crowd]]
        await self._expel(self.crowd, name)

    async def _expel(self, member: str, name: str) -> None:
        if self.model.members[self.where].pop(member, None) is not None:
            await expel(self.world.keeper, self.world.libraries[self.where], name)

    async def join(self) -> None:
        body = {"username": self.world.people[self.person].name}
        done = await self.world.admin.http.put(f"/groups/{self.world.groups[self.crowd]}/members", json=body)
        assert done.status_code == 204
        self.model.groups[self.crowd].add(self.person)

    async def leave(self) -> None:
        inside = f"/groups/{self.world.groups[self.crowd]}/members"
        gone = await self.world.admin.http.delete(f"{inside}/{await user_id(self.world.people[self.person])}")
        assert gone.status_code == (204 if self.person in self.model.groups[self.crowd] else 404)
        self.model.groups[self.crowd].discard(self.person)

    async def add(self) -> None:
        # Its owner alone may, as an editor: the keeper makes them one for a moment.
        owner = self.world.people[self.model.owners[self.file]]
        await self._put(username=owner.name, role="editor")
        done = await owner.http.post(f"{self._library}/files", json={"file_id": self.world.files[self.file]})
        assert done.status_code == 201, done.text
        await self._put(username=owner.name)
        self.model.members[self.where][self.model.owners[self.file]] = False
        self.model.files[self.where].add(self.file)

    async def take_out(self) -> None:
        done = await self.world.keeper.http.delete(f"{self._library}/files/{self.world.files[self.file]}")
        assert done.status_code == (204 if self.file in self.model.files[self.where] else 404)
        self.model.files[self.where].discard(self.file)

    async def delete(self) -> None:
        """Delete a library or a file, rarely: something has to be left."""
        if self.dice.random() < 0.3 and len(self.model.members) > 1:
            assert (await self.world.keeper.http.delete(self._library)).status_code == 204
            del self.model.members[self.where], self.model.files[self.where]
        elif self.dice.random() < 0.3 and len(self.model.owners) > 3:
            owner = self.world.people[self.model.owners.pop(self.file)]
            assert (await owner.http.delete(f"/files/{self.world.files[self.file]}")).status_code == 204
            for held in self.model.files.values():
                held.discard(self.file)


async def check(world: World, model: Model, after: str) -> None:
    """Look through every door."""
    for name, person in world.people.items():
        await _check_files(world, model, name, person, after)
    await asyncio.gather(*(_check_answer(world, model, answer, after) for answer in world.answers))


async def _check_files(world: World, model: Model, name: str, person: Person, after: str) -> None:
    for file, id_ in world.files.items():
        may = model.may_read(name, file)
        paths = [f"/files/{id_}", f"/files/{id_}/text", f"/files/{id_}/chunks", f"/files/{id_}/content"]
        told = [(await person.http.get(path)).status_code for path in paths]
        assert told == [200 if may else 404] * 4, (after, name, file)
        found = await person.http.post("/search", json={"query": file, "file_ids": [id_]})
        assert found.status_code == (200 if may else 404), (after, name, file)
        assert not may or {hit["file_id"] for hit in found.json()["passages"]} == {id_}
    everything = (await person.http.post("/search", json={"query": "the warranty", "k": 100})).json()["passages"]
    ids = {id_: file for file, id_ in world.files.items()}
    assert {ids[hit["file_id"]] for hit in everything} == model.finds(name), (after, name)
    for where, id_ in world.libraries.items():
        seen = await person.http.get(f"/libraries/{id_}/files")
        assert seen.status_code == (200 if model.sees(name, where) else 404), (after, name, where)
        if model.sees(name, where):
            assert {ids[file["id"]] for file in seen.json()["items"]} == model.files[where], (after, name, where)


async def _check_answer(world: World, model: Model, answer: Answer, after: str) -> None:
    person, may = world.people[answer.person], model.may_read(answer.person, answer.file)
    # Of a file that is gone, who owned it keeps what they were told.
    may = may or (answer.file not in model.owners and answer.own)
    places = {
        "citation": f"/conversations/{answer.conversation}/messages",
        "trace": f"/messages/{answer.message}/trace",
        "export": f"/conversations/{answer.conversation}/export",
    }
    told = {door: (await person.http.get(path)).text for door, path in places.items()}
    told["share"] = (await world.reader.http.get(f"/shared/{answer.link}")).text
    async with person.http.stream("GET", f"/chat/runs/{answer.run}/stream") as response:
        told["stream"] = json.dumps([event.data async for event in events_of(response)])
    root = person.http.base_url.join("/langgraph/")
    state = await person.http.get(str(root.join(f"threads/{answer.conversation}/state")))
    assert world.texts[answer.file] not in state.text
    wrong = {door for door, text in told.items() if (world.texts[answer.file] in text) != may}
    assert not wrong, (after, answer.person, answer.file, may)


async def test_every_door_shows_what_the_model_of_rights_says(join: Join, admin: Person, openai: OpenAIServer) -> None:
    dice = random.Random(SEED)
    people = {name: await join() for name in ("ada", "ben", "cem")}
    keeper, reader = await join(), await join()
    libraries = {name: await library(keeper, name) for name in ("north", "south")}
    crowds = {name: await group(admin, f"{name} {keeper.name}") for name in ("cooks", "pilots")}
    owners = {f"file{number}": sorted(people)[number % 3] for number in range(5)}
    texts = {file: f"The warranty of machine {file} lasts {number + 2} years." for number, file in enumerate(owners)}
    files = {
        file: (await people[owner].indexed(f"{file}.txt", texts[file].encode()))["id"] for file, owner in owners.items()
    }
    model = Model(
        owners,
        {name: set() for name in crowds},
        {name: {} for name in libraries},
        {name: set() for name in libraries},
    )
    world = World(people, admin, keeper, reader, crowds, libraries, files, texts)
    # In the beginning everybody sees everything, and asks: so each has answers that may have to lose their texts.
    for name, person in people.items():
        for where, id_ in libraries.items():
            body = {"username": person.name, "role": "editor"}
            assert (await keeper.http.put(f"/libraries/{id_}/members", json=body)).status_code == 200
            model.members[where][name] = False
    for number, (file, owner) in enumerate(owners.items()):
        where = sorted(libraries)[number % 2]
        done = await people[owner].http.post(f"/libraries/{libraries[where]}/files", json={"file_id": files[file]})
        assert done.status_code == 201
        model.files[where].add(file)
    for id_ in libraries.values():
        for person in people.values():
            await keeper.http.put(f"/libraries/{id_}/members", json={"username": person.name})
    openai.script(reply="So many years [1].")
    for name, person in people.items():
        for file in sorted(files):
            answer = await person.ask(f"How long is the warranty of machine {file}?", file_ids=[files[file]])
            link = (await shared(person, answer["conversation_id"], with_sources=True))["token"]
            thread, message, run = (answer[key] for key in ("conversation_id", "message_id", "run_id"))
            world.answers.append(Answer(name, file, owners[file] == name, thread, message, run, link))
    await check(world, model, "the beginning")
    change = Change(world, model, dice)
    for _ in range(STEPS):
        await check(world, model, await change.any())
    readable = [model.may_read(answer.person, answer.file) for answer in world.answers]
    assert len(set(readable)) == 2, "something was taken away, and something was not"
