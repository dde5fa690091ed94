"""`python -I HARNESS tests/scorers.py`: serves a file's scorers, in a folder of evaluators only.

The runtime comes from this folder, and the standard library before anything of the evaluators.
"""

import os
import sys

from agent_runtime.scorers import main

sys.path += [os.getcwd(), os.path.join(os.getcwd(), "src")]
main(sys.argv[1:])
