"""`agent mcp runner --http`, and the programs people put in front of a stdio server for the same end today."""

import contextlib
import shlex

import environment

SUPERGATEWAY = "supergateway@3.4.3"
FASTMCP = "fastmcp==3.*"
MCP_PROXY = "mcp-proxy==0.12.*"

FASTMCP_PROGRAM = """
import sys
from fastmcp.client.transports import StdioTransport
from fastmcp.server import create_proxy
create_proxy(StdioTransport(sys.argv[2], sys.argv[3:])).run(transport="http", port=int(sys.argv[1]), show_banner=False, log_level="ERROR")
"""

NAMES = ["agent", "supergateway", "fastmcp", "mcp-proxy"]


@contextlib.contextmanager
def served(name, agent, server, stateful=True):
    """The URL of a gateway in front of the server with that command, and the gateway's process."""
    port = environment.free_port()
    log = environment.FOLDER / f"{name}.log"
    folder, more = None, {}
    if name == "agent":
        folder = environment.repository(agent, "everything", server)
        command = [agent, "mcp", "runner", "--http", port]
    elif name == "supergateway":
        programs = environment.node(SUPERGATEWAY)
        more = environment.node_environment(programs)
        command = [programs / "supergateway", "--stdio", shlex.join(server), "--outputTransport", "streamableHttp", "--port", port, "--logLevel", "none"]
        command += ["--stateful"] if stateful else []
    elif name == "fastmcp":
        command = [environment.python("fastmcp", FASTMCP), "-c", FASTMCP_PROGRAM, port, *server]
    else:
        command = [environment.python("mcp-proxy", MCP_PROXY).parent / "mcp-proxy", "--port", port, *([] if stateful else ["--stateless"]), "--", *server]
    with environment.served(command, port, folder, log, **more) as process:
        yield f"http://localhost:{port}/mcp", process
