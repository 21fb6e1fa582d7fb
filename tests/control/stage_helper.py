"""A command for a pipeline's tests: write a file, copy one, wait for one, or fail."""

import shutil
import sys
import time
from pathlib import Path

what, *arguments = sys.argv[1:]
if what == "write":
    Path(arguments[0]).write_text(arguments[1])
elif what == "copy":
    shutil.copyfile(*arguments)
elif what == "wait":
    while not Path(arguments[0]).exists():
        time.sleep(0.02)
else:
    sys.exit(3)
