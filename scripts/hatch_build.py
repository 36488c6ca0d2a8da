"""The package build's own step: build the page and put it into the wheel.

`LLAMA_SERVICE_SKIP_UI=1` leaves the page out, for who works on the server only. An editable installation serves
`ui/dist` from the checkout, so nothing is copied there.
"""

import os
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class PageBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Build `ui/` before the wheel is packed."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page, and add it for a standard wheel.

        Raises subprocess.CalledProcessError where the build fails.
        """
        if os.environ.get("LLAMA_SERVICE_SKIP_UI", "").lower() in {"1", "true", "yes"}:
            return
        root = Path(self.root)
        sys.path.insert(0, str(root / "scripts"))
        try:
            import build_ui
        finally:
            sys.path.remove(str(root / "scripts"))
        self.app.display_waiting("Building the page")
        build_ui.build(root / "ui")
        if version != "editable":
            build_data["force_include"][str(root / "ui" / "dist")] = "llama_service/_app/ui/dist"
