"""A Runner that reads dates in ISO 8601 only."""

from datetime import date as Date

from agent_runtime import Server

server = Server("weekdays")

DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


@server.tool(annotations={"readOnlyHint": True, "openWorldHint": True})
def weekday(date: str) -> str:
    """The day of the week of a date."""
    return DAYS[Date.fromisoformat(date).weekday()]


if __name__ == "__main__":
    server.run()
