"""What `make release` lists of others' software: all that the locks name, under licences that are allowed."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts import release
from scripts.licences import RULES, Rules, licence_texts

ROOT = Path(__file__).resolve().parents[3]


def locked(lock: Path) -> set[tuple[str, str]]:
    """Return name and version of the packages that a lock file brings to this machine."""
    lines = re.findall(r"^([A-Za-z0-9][^\n]*?) *\\$", lock.read_text(), re.MULTILINE)
    wanted = [Requirement(line) for line in lines]
    here = [one for one in wanted if one.marker is None or one.marker.evaluate()]
    return {(canonicalize_name(one.name), str(one.specifier).removeprefix("==")) for one in here}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> tuple[release.Bill, dict[str, Any]]:
    """Return what the image `server` holds; the release validates the same document."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        target = tmp_path_factory.mktemp("bill") / "server.cdx.json"
        bill = release.python_packages(ROOT / "requirements" / "server.txt", target, validate=False)
    return bill, json.loads(target.read_text())


def test_the_bill_lists_what_the_lock_lists(server: tuple[release.Bill, dict[str, Any]]) -> None:
    bill, document = server
    listed = {(canonicalize_name(part["name"]), part["version"]) for part in bill.components}
    assert listed == locked(ROOT / "requirements" / "server.txt")
    assert len(listed) > 150
    assert document["metadata"]["component"]["name"] == "llama-service"
    assert document["metadata"]["timestamp"].startswith("2023-11-14T22:13:20")
    assert all(part["purl"].startswith("pkg:pypi/") for part in bill.components)


def test_the_pages_bill_lists_what_its_lock_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    bill = release.page_packages(tmp_path / "a.json")
    release.page_packages(tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    packages = json.loads((ROOT / "ui" / "package-lock.json").read_text())["packages"]
    wanted = {
        (place.rpartition("node_modules/")[2], package["version"])
        for place, package in packages.items()
        if place and not package.get("dev")
    }
    listed = {(part["name"], part["version"]) for part in bill.components}
    assert listed == wanted
    assert len(bill.components) == len(listed)
    # The one is a developer's tool as well, the other is copied and not imported.
    assert {"react", "swagger-ui-dist"} <= {name for name, _ in listed}
    _, refused = release.notices([bill], Rules())
    assert refused == []


def test_licences_are_allowed_and_their_texts_come_along(server: tuple[release.Bill, dict[str, Any]]) -> None:
    text, refused = release.notices([server[0]], Rules())
    assert refused == []
    for told in ("LangServe License", "GNU LESSER GENERAL PUBLIC LICENSE", "Redistribution and use in source"):
        assert told in text


@pytest.mark.parametrize(
    ("licences", "is_allowed"),
    [
        ([{"license": {"id": "MIT"}}], True),
        ([{"license": {"id": "GPL-3.0-only"}}], False),
        ([{"license": {"id": "MIT"}}, {"license": {"id": "AGPL-3.0-only"}}], False),
        ([{"expression": "GPL-2.0-only OR MIT"}], True),
        ([{"expression": "GPL-2.0-only AND MIT"}], False),
        ([{"expression": "BSD-2-Clause AND Apache-2.0 WITH LLVM-exception"}], True),
        ([{"expression": "Apache-2.0 WITH something AND"}], False),
        ([{"license": {"name": "License :: OSI Approved :: BSD License"}}], True),
        ([{"license": {"name": "License :: Other/Proprietary License"}}], False),
        ([{"license": {"name": "declared license of 'x'"}}], False),
        ([], False),
    ],
)
def test_a_licence_that_is_not_on_the_list_is_refused(licences: list[dict[str, Any]], is_allowed: bool) -> None:
    part = {"bom-ref": "x==1", "name": "x", "version": "1", "licenses": licences}
    _, refused = release.notices([release.Bill([part], {})], Rules())
    assert bool(refused) != is_allowed


def test_every_exception_has_its_reason() -> None:
    rules = Rules(RULES)
    assert rules.unused, "exceptions that no component has needed yet"
    for name in sorted(rules.unused):
        verdict = rules.judge({"name": name.replace("*", "1"), "version": "1"})
        assert verdict.is_allowed
        assert len(verdict.reason) > 5
        assert verdict.licence
    assert not rules.unused


def test_texts_are_found_by_their_names(tmp_path: Path) -> None:
    for name, text in (
        ("LICENSE", "one"),
        ("licence.md", "two"),
        ("NOTICE.txt", "one"),
        ("license.py", "no"),
        ("README", "no"),
    ):
        (tmp_path / name).write_text(text)
    assert sorted(licence_texts(tmp_path.iterdir())) == ["one", "two"]


def test_sums_are_what_sha256sum_checks(tmp_path: Path) -> None:
    (tmp_path / "b").write_bytes(b"b")
    (tmp_path / "a").write_bytes(b"a")
    release.write_sums(tmp_path)
    release.write_sums(tmp_path)
    lines = (tmp_path / "SHA256SUMS").read_text().splitlines()
    assert lines == [f"{hashlib.sha256(name.encode()).hexdigest()}  {name}" for name in ("a", "b")]
