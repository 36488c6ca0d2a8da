"""Whether what is shipped may be: the licences of a software bill of materials against scripts/licences.toml."""

import fnmatch
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boolean import Expression
from license_expression import ExpressionError, get_spdx_licensing

RULES = Path(__file__).with_name("licences.toml")
Component = dict[str, Any]
_SPDX = get_spdx_licensing()


@dataclass(frozen=True, slots=True)
class Verdict:
    """Under which licence a component is, as an SPDX expression, and whether it may be shipped.

    `reason` is why, where an exception says so.
    """

    licence: str
    is_allowed: bool
    reason: str = ""


class Rules:
    """The allowed licences, and the exceptions."""

    def __init__(self, path: Path = RULES) -> None:
        rules = tomllib.loads(path.read_text(encoding="utf-8"))
        self._allowed = {_key(_SPDX.parse(name)) for name in rules["allowed"]}
        self._classifiers: dict[str, str] = rules["classifiers"]
        self._exceptions: dict[str, dict[str, str]] = rules["exceptions"]
        self.unused = set(self._exceptions)

    def judge(self, component: Component) -> Verdict:
        """Judge a component of a CycloneDX document. All that it states has to be allowed, an `OR` in one part."""
        for pattern, exception in self._exceptions.items():
            if fnmatch.fnmatch(component["name"], pattern):
                self.unused.discard(pattern)
                return Verdict(exception["licence"], is_allowed=True, reason=exception["reason"])
        stated = sorted(set(self._stated(component)))
        licence = " AND ".join(f"({one})" if " " in one and len(stated) > 1 else one for one in stated)
        return Verdict(licence or "unknown", is_allowed=bool(stated) and all(map(self._is_allowed, stated)))

    def _stated(self, component: Component) -> Iterator[str]:
        for entry in component.get("licenses", []):
            if "expression" in entry:
                yield entry["expression"]
                continue
            named = entry["license"]
            if "id" in named:
                yield named["id"]
            # A name that is no classifier's is free text, which stands beside the classifier or in an exception.
            elif named["name"].startswith("License ::"):
                yield self._classifiers.get(named["name"], named["name"])

    def _is_allowed(self, stated: str) -> bool:
        try:
            return self._holds(_SPDX.parse(stated))
        except ExpressionError:
            return False

    def _holds(self, expression: Expression) -> bool:
        if _key(expression) in self._allowed:
            return True
        if isinstance(expression, _SPDX.OR):
            return any(map(self._holds, expression.args))
        return isinstance(expression, _SPDX.AND) and all(map(self._holds, expression.args))


def _key(expression: Expression) -> str:
    return str(expression.render("{symbol.key}"))


def licence_texts(files: Iterable[Path]) -> list[str]:
    """Return those of a package's files that are licences or notices, each text once."""
    names = ("LICENSE", "LICENCE", "COPYING", "NOTICE")
    chosen = sorted(path for path in files if path.name.upper().startswith(names) and path.suffix not in (".py", ".js"))
    read = [path.read_text(encoding="utf-8", errors="replace").strip() for path in chosen if path.is_file()]
    return list(dict.fromkeys(read))
