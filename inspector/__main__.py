"""``python -m inspector``."""

import os
import sys

# `-m` looks for modules in the current directory first; the command uses only what is installed.
if __name__ == "__main__" and sys.path and sys.path[0] in ("", os.getcwd()):  # noqa: PTH109
    del sys.path[0]

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
