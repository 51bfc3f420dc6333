"""openai: chat, streaming, tools, structured output, embeddings, models, errors."""

import asyncio
import json

import checks
import openai
from openai import AsyncOpenAI, OpenAI

ASK = [{"role": "user", "content": checks.QUESTION}]
SETTINGS = {"model": checks.CHAT, "temperature": 0, "max_tokens": checks.TOKENS}


def chat(client: OpenAI) -> None:
    whole = client.chat.completions.create(messages=ASK, **SETTINGS)
    checks.says_paris("chat", whole.choices[0].message.content)
    checks.counts("chat: usage", whole.usage.prompt_tokens, whole.usage.completion_tokens)

    options = {"include_usage": True}
    stream = client.chat.completions.create(
        messages=ASK, stream=True, stream_options=options, **SETTINGS
    )
    pieces, finish, usage = [], None, None
    for chunk in stream:
        usage = chunk.usage or usage
        for choice in chunk.choices:
            pieces.append(choice.delta.content or "")
            finish = choice.finish_reason or finish
    checks.says_paris_in_pieces("streaming", pieces)
    checks.check("streaming: end", finish in ("stop", "length"), "stop or length", finish)
    checks.counts("streaming: usage", usage.prompt_tokens, usage.completion_tokens)

    whole = client.chat.completions.create(messages=ASK, stop=["Paris"], **SETTINGS)
    content = whole.choices[0].message.content
    checks.check("stop", "Paris" not in content, "a text without `Paris`", content)


async def chat_async(url: str) -> None:
    async with AsyncOpenAI(base_url=url, api_key="none", timeout=checks.SECONDS) as client:
        async with client.chat.completions.stream(messages=ASK, **SETTINGS) as stream:
            kinds = {event.type async for event in stream}
            whole = await stream.get_final_completion()
        checks.says_paris("async streaming", whole.choices[0].message.content)
        checks.check("async streaming: events", "content.delta" in kinds, "content.delta", kinds)


def tools(client: OpenAI) -> None:
    question = {"role": "user", "content": checks.ASK_WEATHER.format(checks.CITY)}
    named = {"type": "function", "function": {"name": "get_weather"}}
    settings = {**SETTINGS, "tools": [checks.GET_WEATHER]}
    for choice in ("required", named):
        whole = client.chat.completions.create(messages=[question], tool_choice=choice, **settings)
        call = whole.choices[0].message.tool_calls[0]
        checks.is_call("tools", call.function.name, json.loads(call.function.arguments))
        reason = whole.choices[0].finish_reason
        checks.check("tools: end", reason == "tool_calls", "tool_calls", reason)

    history = [
        question,
        whole.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": checks.get_weather(checks.CITY)},
    ]
    said = client.chat.completions.create(messages=history, tool_choice="none", **settings)
    checks.is_text("tools: result", said.choices[0].message.content)
    before, after = whole.usage.prompt_tokens, said.usage.prompt_tokens
    checks.check("tools: result is read", after > before, f"more than {before} tokens", after)

    streamed = {"id": "", "name": "", "arguments": ""}
    stream = client.chat.completions.create(
        messages=[question], tool_choice="required", stream=True, **settings
    )
    for chunk in stream:
        for call in chunk.choices[0].delta.tool_calls or []:
            streamed["id"] += call.id or ""
            streamed["name"] += call.function.name or ""
            streamed["arguments"] += call.function.arguments or ""
    checks.is_call("streamed tools", streamed["name"], json.loads(streamed["arguments"]))
    checks.is_text("streamed tools: id", streamed["id"])

    # As a parsed call, with the strict schema that the client makes itself.
    strict = {**checks.GET_WEATHER["function"], "strict": True}
    strict["parameters"] = {**strict["parameters"], "additionalProperties": False}
    parsed = client.chat.completions.parse(
        messages=[question],
        tools=[{"type": "function", "function": strict}],
        tool_choice="required",
        **SETTINGS,
    )
    call = parsed.choices[0].message.tool_calls[0].function
    checks.is_call("parsed tools", call.name, call.parsed_arguments or json.loads(call.arguments))


def structured(client: OpenAI) -> None:
    parsed = client.chat.completions.parse(
        messages=ASK, response_format=checks.Answer, **SETTINGS
    )
    checks.is_answer("structured output", parsed.choices[0].message.parsed)
    whole = client.chat.completions.create(
        messages=ASK, response_format={"type": "json_object"}, **{**SETTINGS, "max_tokens": 200}
    )
    ended, content = whole.choices[0].finish_reason, whole.choices[0].message.content
    if ended == "stop":
        checks.check("JSON mode", isinstance(json.loads(content), dict), "an object", content)
    else:
        checks.check("JSON mode", content.lstrip().startswith("{"), "the begin of one", content)


def embeddings(client: OpenAI) -> None:
    # The client asks for base64 unless it is told otherwise.
    for form in ({}, {"encoding_format": "float"}):
        two = client.embeddings.create(model=checks.EMBED, input=checks.TEXTS, **form).data
        one = client.embeddings.create(model=checks.EMBED, input=checks.TEXTS[0], **form).data
        vectors = [item.embedding for item in two]
        checks.are_vectors(f"embeddings {form}", vectors, one[0].embedding)


def others(client: OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    known = {checks.CHAT, checks.EMBED} <= set(names)
    checks.check("models", known, "the chat model and the other", names)
    one = client.models.retrieve(checks.CHAT)
    checks.check("one model", one.id == checks.CHAT, checks.CHAT, one.id)
    text = client.completions.create(prompt="One, two, three, four,", **SETTINGS)
    checks.check("completion", "five" in text.choices[0].text, "`five`", text.choices[0].text)

    def unknown() -> object:
        return client.chat.completions.create(**{**SETTINGS, "model": "nope"}, messages=ASK)

    def wrong() -> object:
        return client.chat.completions.create(**{**SETTINGS, "temperature": 9}, messages=ASK)

    checks.raises("unknown model", openai.NotFoundError, unknown, "nope")
    checks.raises("wrong value", openai.BadRequestError, wrong, "temperature")


def main() -> None:
    url = f"{checks.address()}/v1"
    client = OpenAI(base_url=url, api_key="none", timeout=checks.SECONDS)
    chat(client)
    asyncio.run(chat_async(url))
    tools(client)
    structured(client)
    embeddings(client)
    others(client)


if __name__ == "__main__":
    main()
