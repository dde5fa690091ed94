"""A Runner whose source answers once for each city, then is down."""

from agent_runtime import Server

server = Server("weather")

DEGREES = {"Oslo": 3, "Rome": 17}
answered = set()


def fetch(city: str) -> int:
    """The temperature from a source that answers once for each city."""
    if city in answered:
        raise ConnectionRefusedError("connection refused")
    answered.add(city)
    return DEGREES[city]


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": True})
def temperature(city: str) -> int:
    """The temperature of a city, in degrees Celsius."""
    return fetch(city)


if __name__ == "__main__":
    server.run()
