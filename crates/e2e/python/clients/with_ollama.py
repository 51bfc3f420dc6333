"""ollama: chat, generate, streaming, tools, structured output, embeddings, models, errors."""

import asyncio

import checks
import ollama
from ollama import AsyncClient, Client

ASK = [{"role": "user", "content": checks.QUESTION}]
OPTIONS = {"temperature": 0, "num_predict": checks.TOKENS}


def chat(client: Client) -> None:
    whole = client.chat(checks.CHAT, ASK, options=OPTIONS)
    checks.says_paris("chat", whole.message.content)
    checks.check("chat: done", whole.done and whole.done_reason in ("stop", "length"), "done", whole)
    checks.counts("chat: usage", whole.prompt_eval_count, whole.eval_count)

    lines = list(client.chat(checks.CHAT, ASK, options=OPTIONS, stream=True))
    checks.says_paris_in_pieces("streaming", [line.message.content for line in lines])
    checks.check("streaming: done", lines[-1].done, "a last line that is done", lines[-1])

    whole = client.generate(checks.CHAT, checks.QUESTION, system="Be brief.", options=OPTIONS)
    checks.says_paris("generate", whole.response)
    lines = client.generate(checks.CHAT, checks.QUESTION, options=OPTIONS, stream=True)
    checks.says_paris_in_pieces("streaming generate", [line.response for line in lines])


async def chat_async(url: str) -> None:
    client = AsyncClient(host=url, timeout=checks.SECONDS)
    stream = await client.chat(checks.CHAT, ASK, options=OPTIONS, stream=True)
    pieces = [line.message.content async for line in stream]
    checks.says_paris_in_pieces("async streaming", pieces)


def asked_before() -> list[dict]:
    messages = []
    for city in checks.EARLIER_CITIES:
        call = {"function": {"name": "get_weather", "arguments": {"city": city}}}
        messages.append({"role": "user", "content": checks.ASK_WEATHER.format(city)})
        messages.append({"role": "assistant", "tool_calls": [call]})
    return [*messages, {"role": "user", "content": checks.ASK_WEATHER.format(checks.CITY)}]


def tools(client: Client) -> None:
    messages = asked_before()
    # The client makes the tool's schema from the function.
    whole = client.chat(checks.CHAT, messages, tools=[checks.get_weather], options=OPTIONS)
    call = (whole.message.tool_calls or [None])[0]
    checks.check("tools", call is not None, "a call", whole.message)
    checks.is_call("tools: call", call.function.name, dict(call.function.arguments))

    result = checks.get_weather(**call.function.arguments)
    messages += [whole.message, {"role": "tool", "tool_name": "get_weather", "content": result}]
    said = client.chat(checks.CHAT, messages, options=OPTIONS)
    checks.is_text("tools: result", said.message.content)
    checks.counts("tools: usage", said.prompt_eval_count, said.eval_count)

    lines = client.chat(
        checks.CHAT, asked_before(), tools=[checks.GET_WEATHER], options=OPTIONS, stream=True
    )
    calls = [call for line in lines for call in line.message.tool_calls or []]
    checks.check("streamed tools", len(calls) == 1, "one call", calls)
    function = calls[0].function
    checks.is_call("streamed tools: call", function.name, dict(function.arguments))


def structured(client: Client) -> None:
    schema = checks.Answer.model_json_schema()
    whole = client.chat(checks.CHAT, ASK, format=schema, options=OPTIONS)
    checks.is_answer("structured output", whole.message.content)
    whole = client.generate(checks.CHAT, checks.QUESTION, format=schema, options=OPTIONS)
    checks.is_answer("structured output of generate", whole.response)
    content = client.chat(checks.CHAT, ASK, format="json", options=OPTIONS).message.content
    checks.check("JSON mode", content.lstrip().startswith("{"), "an object", content)


def embeddings(client: Client) -> None:
    two = client.embed(checks.EMBED, checks.TEXTS).embeddings
    one = client.embed(checks.EMBED, checks.TEXTS[0]).embeddings
    checks.are_vectors("embeddings", two, one[0])
    old = client.embeddings(checks.EMBED, checks.TEXTS[0]).embedding
    checks.are_vectors("old embeddings", two, old)


def others(client: Client) -> None:
    names = [model.model for model in client.list().models]
    checks.check("list", len(names) >= 2, "both models", names)
    for name in names:
        checks.check(f"show {name}", bool(client.show(name).capabilities), "capabilities", name)
    shown = client.show(checks.CHAT)
    checks.check("show", "completion" in shown.capabilities, "completion", shown.capabilities)
    shown = client.show(checks.EMBED)
    checks.check("show", "embedding" in shown.capabilities, "embedding", shown.capabilities)
    running = [model.model for model in client.ps().models]
    checks.check("ps", len(running) >= 1, "a model in memory", running)

    def unknown() -> object:
        return client.chat("nope", ASK)

    checks.raises("unknown model", ollama.ResponseError, unknown, "nope")


def main() -> None:
    url = checks.address()
    client = Client(host=url, timeout=checks.SECONDS)
    chat(client)
    asyncio.run(chat_async(url))
    tools(client)
    structured(client)
    embeddings(client)
    others(client)


if __name__ == "__main__":
    main()
