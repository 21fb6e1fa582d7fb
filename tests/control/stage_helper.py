"""A command for a pipeline's tests: write a file, copy one, or fail."""

import shutil
import sys
from pathlib import Path

what, *arguments = sys.argv[1:]
if what == "write":
    Path(arguments[0]).write_text(arguments[1])
elif what == "copy":
    shutil.copyfile(*arguments)
else:
    sys.exit(3)
