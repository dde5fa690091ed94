"""The official `mcp` client against our servers, in both protocol eras.

Needs what requirements.lock pins:
    python3 -m venv V && V/bin/pip install --require-hashes -r templates/runtime/tests/requirements.lock
    V/bin/python -m unittest discover -s templates/runtime/tests -t templates/runtime
"""

import asyncio
import os
import sys
import unittest
from contextlib import asynccontextmanager

from .harness import FIXTURES, PROGRAMS, RUNTIME

try:
    import mcp
    from jsonschema import Draft202012Validator
    from mcp.client.stdio import StdioServerParameters, stdio_client
    from mcp_types.version import LATEST_HANDSHAKE_VERSION, LATEST_MODERN_VERSION
except ImportError as error:
    mcp = None
    WHY = f"the official client is not installed ({error}); pip install -r templates/runtime/tests/requirements.lock"
else:
    WHY = ""

STATE_PATH = next((FIXTURES / "states").glob("*.json"))
STATE = {"dev.agentvc/state": {"revision": STATE_PATH.stem, "path": str(STATE_PATH)}}


@unittest.skipIf(mcp is None, WHY)
class OfficialClient(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        # The debug mode unittest turns on reports each slow step of the client's own start-up.
        asyncio.get_running_loop().set_debug(False)

    @asynccontextmanager
    async def client(self, mode, program="runner"):
        # The client passes on almost nothing of the environment.
        environment = {
            "PYTHONPATH": str(RUNTIME),
            "PYTHONDONTWRITEBYTECODE": os.environ.get("PYTHONDONTWRITEBYTECODE", ""),
            "AGENT_PARENT_PID": str(os.getpid()),
        }
        server = StdioServerParameters(command=sys.executable, args=[str(PROGRAMS / f"{program}.py")], env=environment)
        with open(os.devnull, "w") as errors:
            async with mcp.Client(stdio_client(server, errlog=errors), mode=mode, read_timeout_seconds=20) as client:
                yield client

    async def in_every_mode(self, check, program="runner"):
        for mode in ("legacy", "auto", LATEST_MODERN_VERSION):
            with self.subTest(mode=mode):
                async with self.client(mode, program) as client:
                    await check(client, mode)

    async def test_versions_and_names(self):
        async def check(client, mode):
            self.assertEqual(
                client.protocol_version, LATEST_HANDSHAKE_VERSION if mode == "legacy" else LATEST_MODERN_VERSION
            )
            if mode != LATEST_MODERN_VERSION:  # with a pinned version the client makes no discovery
                self.assertEqual((client.server_info.name, client.server_info.version), ("fixture-runner", "1.2.3"))
                self.assertEqual(client.instructions, "Ask it things.")
                self.assertIsNotNone(client.server_capabilities.tools)
            if mode == "legacy":
                with self.assertWarns(mcp.MCPDeprecationWarning):
                    await client.send_ping()

        await self.in_every_mode(check)

    async def test_every_schema_is_valid_json_schema(self):
        async def check(client, mode):
            tools = (await client.list_tools()).tools
            self.assertGreater(len(tools), 0)
            for tool in tools:
                Draft202012Validator.check_schema(tool.input_schema)
                if tool.output_schema is not None:
                    Draft202012Validator.check_schema(tool.output_schema)

        await self.in_every_mode(check)
        await self.in_every_mode(check, "tuner")

    async def test_results_fit_their_schemas(self):
        # The client itself checks a result against the tool's output schema.
        async def check(client, mode):
            await client.list_tools()
            added = await client.call_tool("add", {"a": 40})
            self.assertEqual(
                (added.content[0].text, added.structured_content, added.is_error), ("42", {"result": 42}, False)
            )
            found = await client.call_tool("search", {"query": "q", "k": 1}, meta=STATE)
            self.assertEqual(found.structured_content, {"result": [{"topic": "q-bm25", "score": 0.9, "tags": []}]})
            self.assertEqual(found.meta["dev.agentvc/reads"], ["ranking"])
            self.assertEqual((await client.call_tool("nothing", {})).content, [])

        await self.in_every_mode(check)

    async def test_conversations_ride_in_meta(self):
        async def check(client, mode):
            meta = {**STATE, "dev.agentvc/conversation": {"id": "c1", "turn": 1}}
            asked = await client.call_tool("ask", {"question": "why"}, meta=meta)
            self.assertEqual(
                asked.meta["dev.agentvc/conversation"],
                {"id": "c1", "data": {"questions": ["why"]}, "facts": {"strategy": "bm25", "length": 3}},
            )

        await self.in_every_mode(check)

    async def test_a_tuner_hands_its_state_back(self):
        async def check(client, mode):
            meta = {"dev.agentvc/state": {"revision": "r", "value": {"strategies": {}}}}
            rewarded = await client.call_tool("reward", {"value": 1, "strategy": "s"}, meta=meta)
            self.assertEqual(rewarded.meta["dev.agentvc/state"], {"value": {"strategies": {"s": {"n": 1, "sum": 1.0}}}})

        await self.in_every_mode(check, "tuner")

    async def test_errors(self):
        async def check(client, mode):
            for tool, arguments, words in [
                ("fail", {"message": "no topic"}, "LookupError: no topic"),
                ("add", {"a": "1"}, "arguments.a: expected integer"),
                ("infinite", {}, "not JSON compliant"),
            ]:
                result = await client.call_tool(tool, arguments)
                self.assertTrue(result.is_error)
                self.assertIn(words, result.content[0].text)
            with self.assertRaises(mcp.MCPError) as caught:
                await client.call_tool("no_such_tool", {})
            self.assertEqual(caught.exception.error.code, -32602)

        await self.in_every_mode(check)

    async def test_a_cancelled_call_leaves_the_server_free(self):
        async def check(client, mode):
            blocked = asyncio.create_task(client.call_tool("block", {"seconds": 600}))
            # An answer to a later request shows that the blocking call has begun or is queued.
            await client.list_tools(cache_mode="bypass")
            blocked.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await blocked
            self.assertEqual((await client.call_tool("add", {"a": 1})).structured_content, {"result": 3})

        await self.in_every_mode(check)

    async def test_calls_at_once(self):
        async def check(client, mode):
            results = await asyncio.gather(*(client.call_tool("add", {"a": number}) for number in range(100)))
            self.assertEqual([result.structured_content["result"] for result in results], [n + 2 for n in range(100)])
            naps = await asyncio.gather(
                *(client.call_tool("nap", {"seconds": 0.05, "name": str(n)}) for n in range(20))
            )
            self.assertEqual([nap.structured_content["name"] for nap in naps], [str(n) for n in range(20)])

        await self.in_every_mode(check)


if __name__ == "__main__":
    unittest.main()
