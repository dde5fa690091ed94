"""A Tuner whose tools request effects."""

from agent_runtime import Tuner, effect, state

tuner = Tuner("effects-tuner")


@tuner.tool
def draw(count: int) -> list[float]:
    numbers = [effect.random() for _ in range(count)]
    state()["drawn"] = numbers
    return numbers


@tuner.tool
def stamp() -> str:
    state()["at"] = effect.now()
    return state()["at"]


@tuner.tool
def seeds() -> bool:
    return effect.seed() == effect.seed()


@tuner.tool
def climb(step: float) -> float:
    """Asks for two scores, one after the other, and keeps the better state."""
    for change in (step, -step):
        candidate = {**state(), "x": state()["x"] + change}
        score = effect.evaluate(candidate, "fast")["score"]
        if score > state().get("score", 0.0):
            state().update(candidate, score=score)
    return state()["x"]


@tuner.tool
def ask(urls: list[str]) -> list[str]:
    answers = effect.http_all([{"url": url} for url in urls])
    return [answer["body"] for answer in answers]


@tuner.tool
async def later(url: str) -> int:
    return effect.http({"url": url})["status"]


@tuner.tool
def swallow(url: str) -> str:
    try:
        return effect.http({"url": url})["body"]
    except Exception as error:
        return repr(error)


if __name__ == "__main__":
    tuner.run()
