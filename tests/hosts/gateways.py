"""`agent mcp runner --http`, and the programs people put in front of a stdio server for the same end today."""

import contextlib
import shlex

import environment

SUPERGATEWAY = "supergateway@4.0.0"
FASTMCP = "fastmcp>=4,<5"
# it needs an SDK of the handshake era
MCP_PROXY = ("mcp-proxy==0.13.0", "mcp<2")

FASTMCP_PROGRAM = """
import sys
from fastmcp.client.transports import StdioTransport
from fastmcp.server import create_proxy
create_proxy(StdioTransport(sys.argv[2], sys.argv[3:])).run(transport="http", port=int(sys.argv[1]), show_banner=False, log_level="ERROR")
"""

NAMES = ["agent", "supergateway", "fastmcp", "mcp-proxy"]


@contextlib.contextmanager
def served(name, agent, server, label, stateful=True):
    """The URL of a gateway in front of the server with that command, and the gateway's process. The label names the server."""
    port = environment.free_port()
    log = environment.FOLDER / f"{name}.log"
    more = {}
    if name == "agent":
        command = [agent, *environment.repository(agent, label, server), "--http", port]
    elif name == "supergateway":
        programs = environment.node(SUPERGATEWAY)
        more = environment.node_environment(programs)
        command = [programs / "supergateway", "--stdio", shlex.join(server), "--outputTransport", "streamableHttp", "--port", port, "--logLevel", "none"]
        command += ["--stateful"] if stateful else []
    elif name == "fastmcp":
        command = [environment.python("fastmcp", FASTMCP), "-c", FASTMCP_PROGRAM, port, *server]
    else:
        command = [environment.python("mcp-proxy", *MCP_PROXY).parent / "mcp-proxy", "--port", port, *([] if stateful else ["--stateless"]), "--", *server]
    with environment.served(command, port, log=log, **more) as process:
        yield f"http://localhost:{port}/mcp", process
