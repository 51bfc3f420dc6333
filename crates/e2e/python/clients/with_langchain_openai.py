"""langchain-openai: chat, streaming, tools, structured output, embeddings."""

import asyncio

import checks
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

get_weather = tool(checks.get_weather)


def chat(model: ChatOpenAI) -> None:
    whole = model.invoke(checks.QUESTION)
    checks.says_paris("chat", whole.content)
    usage = whole.usage_metadata
    checks.counts("chat: usage", usage["input_tokens"], usage["output_tokens"])
    pieces = list(model.stream(checks.QUESTION, stream_usage=True))
    checks.says_paris_in_pieces("streaming", [piece.content for piece in pieces])
    told = [piece.usage_metadata for piece in pieces if piece.usage_metadata]
    checks.check("streaming: usage", len(told) == 1, "usage, once", told)

    async def pieces_of() -> list[str]:
        return [piece.content async for piece in model.astream(checks.QUESTION)]

    checks.says_paris_in_pieces("async streaming", asyncio.run(pieces_of()))


def tools(model: ChatOpenAI) -> None:
    question = HumanMessage(checks.ASK_WEATHER.format(checks.CITY))
    for choice in ("any", "get_weather"):
        able = model.bind_tools([get_weather], tool_choice=choice, parallel_tool_calls=False)
        said = able.invoke([question])
        checks.check(f"tools, {choice}", len(said.tool_calls) == 1, "one call", said)
        call = said.tool_calls[0]
        checks.is_call(f"tools, {choice}: call", call["name"], call["args"])
    result = get_weather.invoke(call)
    checks.check("tools: id", isinstance(result, ToolMessage), "a ToolMessage", result)
    unable = model.bind_tools([get_weather], tool_choice="none")
    checks.is_text("tools: result", unable.invoke([question, said, result]).content)

    whole = None
    for piece in able.stream([question]):
        whole = piece if whole is None else whole + piece
    checks.check("streamed tools", len(whole.tool_calls) == 1, "one call", whole)
    checks.is_call("streamed tools: call", whole.tool_calls[0]["name"], whole.tool_calls[0]["args"])


def main() -> None:
    url = f"{checks.address()}/v1"
    model = ChatOpenAI(
        model=checks.CHAT,
        base_url=url,
        api_key="none",
        temperature=0,
        max_tokens=checks.TOKENS,
        timeout=checks.SECONDS,
    )
    chat(model)
    tools(model)
    for method in ("json_schema", "function_calling"):
        structured = model.with_structured_output(checks.Answer, method=method)
        checks.is_answer(f"structured output, {method}", structured.invoke(checks.QUESTION))
    # Without the last setting it sends numbers of OpenAI's own tokens, which mean nothing to other
    # models, and fetches OpenAI's vocabulary for that.
    vectors = OpenAIEmbeddings(
        model=checks.EMBED, base_url=url, api_key="none", check_embedding_ctx_length=False
    )
    two = vectors.embed_documents(checks.TEXTS)
    checks.are_vectors("embeddings", two, vectors.embed_query(checks.TEXTS[0]))


if __name__ == "__main__":
    main()
