"""A Tuner whose one tool does anything with its state."""

from agent_runtime import Tuner, state

tuner = Tuner("any-tuner", tracks_parts=True)


@tuner.tool
def execute(code: str) -> None:
    exec(code, globals())


if __name__ == "__main__":
    tuner.run()
