"""A command for a pipeline's tests: write a file, copy one, wait for one, run for long, or fail."""

import os
import shutil
import sys
import time
from pathlib import Path

from dreamduck.common import command_line


def wait_long(argv):
    """Print that it runs, and run for a minute."""
    Path(arguments[0]).write_text(str(os.getpid()))
    time.sleep(60)


what, *arguments = sys.argv[1:]
if what == "write":
    Path(arguments[0]).write_text(arguments[1])
elif what == "copy":
    shutil.copyfile(*arguments)
elif what == "wait":
    while not Path(arguments[0]).exists():
        time.sleep(0.02)
elif what == "command":
    command_line.run(wait_long)
else:
    sys.exit(3)
