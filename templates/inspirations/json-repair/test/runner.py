"""A Runner over a scripted model that answers in JSON, more or less."""

import json

from agent_runtime import Server

server = Server("addresses")

ANSWERS = {
    "plain": '{"city": "Bern"}',
    "fence": '```json\n{"city": "Bern"}\n```',
    "sentence": 'Here it is: {"city": "Bern"} I hope this helps.',
    "comma": '{"city": "Bern",}',
    "nothing": "I do not know.",
}


@server.tool
def city(letter: str) -> str:
    """The city that a letter names."""
    return json.loads(ANSWERS[letter])["city"]


if __name__ == "__main__":
    server.run()
