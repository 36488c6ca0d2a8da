"""The systemd unit, as systemd itself reads and rates it. It is not started: systemd would have to run."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ANALYZE = shutil.which("systemd-analyze")
UNIT = Path(__file__).resolve().parents[3] / "deploy" / "llama-service.service"
PROGRAM = "/opt/llama-service/bin/llama-service"
WORST = 25  # of 100: `systemd-analyze security` calls less than 50 OK

pytestmark = pytest.mark.skipif(ANALYZE is None, reason="the system has no systemd-analyze")


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze, which needs no running systemd for this."""
    return subprocess.run(
        [str(ANALYZE), "--no-pager", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def unit_with(folder: Path, shown: str = PROGRAM, used: str = "/bin/true") -> Path:
    """Return a copy of the unit in which one thing is another; by default the program, which is not installed here."""
    text = UNIT.read_text()
    assert shown in text
    copy = folder / UNIT.name
    copy.write_text(text.replace(shown, used).replace(PROGRAM, "/bin/true"))
    return copy


def test_systemd_understands_it(tmp_path: Path) -> None:
    verified = analyze("verify", unit_with(tmp_path))
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    misspelt = analyze("verify", unit_with(tmp_path, "NoNewPrivileges=", "NoNewPrivilege="))
    assert "NoNewPrivilege" in misspelt.stderr


def test_it_may_do_little(tmp_path: Path) -> None:
    rated = analyze("security", "--offline=true", f"--threshold={WORST}", unit_with(tmp_path))
    if "offline" in rated.stderr:
        pytest.skip("this systemd rates running units alone")
    assert rated.returncode == 0, rated.stdout.splitlines()[-1]
    loose = unit_with(tmp_path, "SystemCallFilter=@system-service\n", "")
    assert analyze("security", "--offline=true", f"--threshold={WORST}", loose).returncode != 0


def test_a_reader_may_give_up_its_network() -> None:
    # ingestion/loaders/child.py: a network namespace, which takes a user namespace where one is not root.
    (namespaces,) = re.findall(r"^RestrictNamespaces=(.*)$", UNIT.read_text(), re.MULTILINE)
    assert set(namespaces.split()) == {"user", "net"}
    allowed = analyze("syscall-filter", "@process").stdout.split()
    assert "unshare" in allowed
    assert "@process" in analyze("syscall-filter", "@system-service").stdout.split()
