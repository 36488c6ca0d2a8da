"""Write the API's OpenAPI document to ui/openapi.json, from which the page's client is generated.

With --check: fail where the file is not what the code says.
"""

import json
import sys
from pathlib import Path

from api.app import create_app
from llama_service.settings import load_settings

TARGET = Path(__file__).resolve().parent.parent / "ui" / "openapi.json"


def document() -> str:
    """Return the document as text that changes only when the API does."""
    app = create_app(load_settings(jwt_secret_key="only-to-draw-the-document-" + "x" * 16, _env_file=None))
    described = app.openapi()
    # LangServe's own routes are made for its client, not for ours.
    described["paths"] = {
        path: operations for path, operations in described["paths"].items() if not path.startswith("/langserve")
    }
    return json.dumps(described, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def main() -> int:
    """Write or compare."""
    made = document()
    if "--check" in sys.argv:
        if not TARGET.is_file() or TARGET.read_text(encoding="utf-8") != made:
            print("ui/openapi.json is not what the API says: run `make openapi`", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
