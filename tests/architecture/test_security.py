"""What docs/security.md and requirements/advisories.toml say is so: names exist, versions are those of the locks."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet
from packaging.version import Version

LOCKS = ("requirements/run.txt", "requirements/server.txt")


@pytest.fixture(scope="module")
def root() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def document(root: Path) -> str:
    return (root / "docs/security.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def advisories(root: Path) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = tomllib.loads((root / "requirements/advisories.toml").read_text())["advisory"]
    return told


@pytest.fixture(scope="module")
def tests(root: Path) -> set[str]:
    """Names of all tests, as `file.py::test_name`."""
    paths = [*(root / "tests").rglob("test_*.py")]
    return {
        f"{path.name}::{name}"
        for path in paths
        for name in re.findall(r"^(?:async )?def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }


def versions(root: Path) -> dict[tuple[str, str], set[Version]]:
    """Return the versions of each package in the locks of what is installed to run, by registry and name."""
    found: dict[tuple[str, str], set[Version]] = {}
    for lock in LOCKS:
        for name, version in re.findall(r"^([\w.-]+)==([\w.+-]+)", (root / lock).read_text(), re.MULTILINE):
            found.setdefault(("pypi", name), set()).add(Version(version))
    packages = json.loads((root / "ui/package-lock.json").read_text())["packages"]
    for place, told in packages.items():
        if place:
            name = place.rpartition("node_modules/")[2]
            found.setdefault(("npm", name), set()).add(Version(told["version"].partition("-")[0]))
    return found


def is_vulnerable(ranges: str, version: Version) -> bool:
    return any(version in SpecifierSet(part.strip(), prereleases=True) for part in ranges.split("||"))


def unanswered(told: dict[str, Any], locked: set[Version], tests: set[str]) -> str | None:
    """Return what is wrong with an advisory's entry, None where it is as it should be."""
    affected = any(is_vulnerable(told["vulnerable"], version) for version in locked)
    if not locked:
        return "the package is in no lock any more"
    if affected and not (told.get("answer") and told.get("shown_by") in tests):
        return "an affected version is locked: upgrade, or write what holds here and which test shows it"
    if not affected and told.get("answer"):
        return "no affected version is locked any more: the answer can go"
    return None


def test_each_advisory_has_an_answer_or_its_part_was_mended(
    root: Path, advisories: list[dict[str, Any]], tests: set[str]
) -> None:
    locked = versions(root)
    for told in advisories:
        found = locked.get((told.get("registry", "pypi"), told["package"]), set())
        assert unanswered(told, found, tests) is None, (told["id"], told["package"], sorted(map(str, found)))


def test_an_affected_lock_and_a_stale_answer_are_noticed(tests: set[str]) -> None:
    told = {"vulnerable": "<1.5 || >=2.0,<2.3"}
    answered = {**told, "answer": "It is not reached.", "shown_by": min(tests)}
    assert unanswered(told, {Version("1.4")}, tests) is not None
    assert unanswered(told, {Version("1.6"), Version("2.2")}, tests) is not None
    assert unanswered(answered | {"shown_by": "test_none.py::test_none"}, {Version("2.2")}, tests) is not None
    assert unanswered(answered, {Version("1.6")}, tests) is not None
    assert unanswered(told, set(), tests) is not None
    assert unanswered(answered, {Version("2.2")}, tests) is None
    assert unanswered(told, {Version("1.5"), Version("2.3")}, tests) is None


def test_advisories_are_told_once_and_in_the_document(advisories: list[dict[str, Any]], document: str) -> None:
    ids = [told["id"] for told in advisories]
    assert len(ids) == len(set(ids))
    assert all(re.fullmatch(r"CVE-\d{4}-\d{4,}|GHSA(-[23456789cfghjmpqrvwx]{4}){3}", name) for name in ids)
    assert set(ids) == set(re.findall(r"CVE-\d{4}-\d{4,}|GHSA(?:-\w{4}){3}", document))


def test_each_test_that_the_document_names_is_there(document: str, tests: set[str]) -> None:
    named = set(re.findall(r"`(test_\w+\.py::test_\w+)`", document))
    assert len(named) > 60
    assert named - tests == set()
    assert document.count("::") == len(re.findall(r"`test_\w+\.py::test_\w+`", document)), "each is written like this"


def test_each_path_that_the_document_names_is_there(document: str, root: Path) -> None:
    paths = set(re.findall(r"`((?:[\w.-]+/)+[\w.-]+)`", document)) - {"application/json", "s3://bucket"}
    assert len(paths) > 30
    assert [path for path in sorted(paths) if not (root / path).exists()] == []
