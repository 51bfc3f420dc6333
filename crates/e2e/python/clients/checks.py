"""What the clients' checks share. Each check prints a line; the first that fails ends the program."""

import math
import sys
from typing import Any, Literal

from pydantic import BaseModel

CHAT, EMBED = "default", "embed"
DIMENSIONS = 384
SECONDS = 60
# Long enough for every answer here, short enough for a small machine.
TOKENS = 48

QUESTION = "What is the capital of France?"
TEXTS = ["The cat sleeps on the sofa.", "Shares fell in early trading."]

# The model is small: without this it would talk about the tool instead of calling it, where a
# client cannot demand the call (Ollama's interface has no way to).
EARLIER_CITIES = ["Lisbon", "Rome"]
ASK_WEATHER = "Weather in {}?"
CITY = "Paris"
WEATHER = "sunny, 21 degrees"


class Answer(BaseModel):
    """What structured answers must be."""

    city: Literal["Paris", "Rome"]
    sure: bool


def get_weather(city: str) -> str:
    """The weather of a city"""
    return f"{city}: {WEATHER}"


GET_WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "Its name"}},
            "required": ["city"],
        },
    },
}


def address() -> str:
    """The gateway's, without `/v1`: the only argument."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} http://HOST:PORT")
    return sys.argv[1].rstrip("/")


def check(name: str, holds: bool, expected: str, came: Any) -> None:
    """Prints the check's outcome, and ends the program when it does not hold."""
    if not holds:
        print(f"FAILED {name}\n  expected: {expected}\n  came:     {came!r}", flush=True)
        sys.exit(1)
    print(f"ok {name}", flush=True)


def says_paris(name: str, text: Any) -> None:
    check(name, isinstance(text, str) and "Paris" in text, "a text with `Paris`", text)


def says_paris_in_pieces(name: str, pieces: list[str]) -> None:
    several = len([piece for piece in pieces if piece]) > 2
    check(f"{name}: pieces", several, "more than two pieces of text", pieces)
    says_paris(name, "".join(pieces))


def is_call(name: str, tool: str, arguments: Any) -> None:
    """A call of the weather's tool with the city that was asked about."""
    sound = tool == "get_weather" and isinstance(arguments, dict) and arguments.get("city") == CITY
    check(name, sound, f"get_weather(city={CITY!r})", (tool, arguments))


def is_text(name: str, text: Any) -> None:
    check(name, isinstance(text, str) and bool(text.strip()), "a text", text)


def is_answer(name: str, value: Any) -> None:
    """A structured answer, parsed by the client or by us."""
    if isinstance(value, str):
        value = Answer.model_validate_json(value)
    check(name, isinstance(value, Answer), "an Answer", value)


def counts(name: str, prompt: Any, completion: Any) -> None:
    sound = all(isinstance(count, int) and count > 0 for count in (prompt, completion))
    check(name, sound, "tokens of prompt and answer", (prompt, completion))


def are_vectors(name: str, two: list, again: list) -> None:
    """`two`: the vectors of TEXTS, asked for at once; `again`: that of the first, asked for alone."""
    check(f"{name}: count", len(two) == len(TEXTS), f"{len(TEXTS)} vectors", len(two))
    lengths = [len(vector) for vector in (*two, again)]
    check(f"{name}: dimensions", set(lengths) == {DIMENSIONS}, f"{DIMENSIONS} numbers", lengths)
    norms = [math.hypot(*vector) for vector in (*two, again)]
    check(f"{name}: norm", all(abs(norm - 1) < 1e-3 for norm in norms), "1", norms)
    apart = math.dist(two[0], again)
    check(f"{name}: same text, same vector", apart < 1e-3, "no distance", apart)
    apart = math.dist(*two)
    check(f"{name}: other text, other vector", apart > 0.5, "a distance", apart)


def raises(name: str, kind: type[BaseException], call: Any, says: str = "") -> None:
    """The client turns a refusal into its own error."""
    try:
        came = call()
    except kind as error:
        check(name, says in str(error), f"{kind.__name__} that says {says!r}", str(error))
    else:
        check(name, False, kind.__name__, came)
