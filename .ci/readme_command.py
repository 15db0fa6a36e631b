"""Print the shell command that follows a marker such as <!-- command: test --> in README.md, for .ci/run."""

import re
import sys
from pathlib import Path

name = sys.argv[1]
text = Path(__file__).parent.parent.joinpath("README.md").read_text(encoding="utf-8")
match = re.search(rf"<!-- command: {name} -->\s*```sh\n(.*?)```", text, re.DOTALL)
if match is None:
    sys.exit(f"README.md has no command marked <!-- command: {name} -->")
print(match[1].strip())
