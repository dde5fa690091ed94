"""`python -I HARNESS tests/scorers.py`, started in a folder that holds evaluators alone: serves the scorers of that file.

The runtime comes from this folder, and the standard library before anything of the evaluators.
"""

import os
import sys

from agent_runtime.scorers import main

sys.path += [os.getcwd(), os.path.join(os.getcwd(), "src")]
main(sys.argv[1:])
