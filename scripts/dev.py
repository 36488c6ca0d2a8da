"""For developers: `llama-service up --reload` beside Vite, which shows changes of the page as you make them.

The page is then at http://localhost:5173, the API where it always is. Ctrl-C ends both.
"""

import subprocess
import sys
from pathlib import Path

from build_ui import node_command

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run both until the service ends; return its exit code."""
    vite = ROOT / "ui" / "node_modules" / "vite" / "bin" / "vite.js"
    with subprocess.Popen(node_command(str(vite)), cwd=ROOT / "ui") as page:
        service = subprocess.Popen([sys.executable, "-m", "llama_service", "up", "--reload"], cwd=ROOT)
        while True:
            try:
                code = service.wait()
                break
            except KeyboardInterrupt:  # both have got it too; the service needs a moment
                continue
        page.terminate()
    return code


if __name__ == "__main__":
    sys.exit(main())
