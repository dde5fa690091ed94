"""The Runner on a system that has no pidfd, such as macOS."""

import os
import runpy
from pathlib import Path

if hasattr(os, "pidfd_open"):
    del os.pidfd_open
runpy.run_path(str(Path(__file__).with_name("runner.py")), run_name="__main__")
