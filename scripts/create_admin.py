"""Create an administrator: the same as `llama-service create-admin`, with the same options."""

import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

    from llama_service.__main__ import main

    sys.argv[1:1] = ["create-admin"]
    main()
