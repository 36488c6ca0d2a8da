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
from scripts.licences import Rules, licence_texts

ROOT = Path(__file__).resolve().parents[3]


def locked(lock: Path) -> set[tuple[str, str]]:
    """Return name and version of the packages that a lock file brings to this machine."""
    lines = re.findall(r"^([A-Za-z0-9][^\n]*?) *\\$", lock.read_text(), re.MULTILINE)
    wanted = [Requirement(line) for line in lines]
    here = [one for one in wanted if one.marker is None or one.marker.evaluate()]
    return {(canonicalize_name(one.name), str(one.specifier).removeprefix("==")) for one in here}


# The larger image: what the other one holds is in it, as both come from one resolution.
LOCK = ROOT / "requirements" / f"{release.IMAGES['embedded']}.txt"


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> tuple[release.Bill, dict[str, Any]]:
    """Return what the image `embedded` holds; the release validates the same document."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        target = tmp_path_factory.mktemp("bill") / "embedded.cdx.json"
        bill = release.python_packages(LOCK, target, validate=False)
    return bill, json.loads(target.read_text())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> release.Bill:
    """Return what the page holds."""
    folder = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SOURCE_DATE_EPOCH", "1700000000")
        bill = release.page_packages(folder / "a.json")
        release.page_packages(folder / "b.json")
    assert (folder / "a.json").read_bytes() == (folder / "b.json").read_bytes()
    return bill


def test_the_bill_lists_what_the_lock_lists(image: tuple[release.Bill, dict[str, Any]]) -> None:
    bill, document = image
    listed = {(canonicalize_name(part["name"]), part["version"]) for part in bill.components}
    assert listed == locked(LOCK)
    assert len(listed) > 150
    assert document["metadata"]["component"]["name"] == "llama-service"
    assert document["metadata"]["timestamp"].startswith("2023-11-14T22:13:20")
    assert all(part["purl"].startswith("pkg:pypi/") for part in bill.components)


def test_the_other_image_holds_nothing_else() -> None:
    assert locked(ROOT / "requirements" / f"{release.IMAGES['server']}.txt") < locked(LOCK)


def test_the_pages_bill_lists_what_its_lock_lists(page: release.Bill) -> None:
    packages = json.loads((ROOT / "ui" / "package-lock.json").read_text())["packages"]
    wanted = {
        (place.rpartition("node_modules/")[2], package["version"])
        for place, package in packages.items()
        if place and not package.get("dev")
    }
    listed = {(part["name"], part["version"]) for part in page.components}
    assert listed == wanted
    assert len(page.components) == len(listed)
    # The one is a developer's tool as well, the other is copied and not imported.
    assert {"react", "swagger-ui-dist"} <= {name for name, _ in listed}


def test_licences_are_allowed_and_their_texts_come_along(
    image: tuple[release.Bill, dict[str, Any]], page: release.Bill
) -> None:
    rules = Rules()
    text, refused = release.notices([image[0], page], rules)
    assert refused == []
    assert rules.unused == set(), "exceptions that nothing needs any more"
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


def test_an_exception_tells_its_reason() -> None:
    part = {"bom-ref": "langserve==1", "name": "langserve", "version": "1"}
    text, refused = release.notices([release.Bill([part], {})], Rules())
    assert refused == []
    assert "Licence: LicenseRef-LangServe\nNot open source" in text


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
