"""langchain-ollama: chat, streaming, tools, structured output, embeddings."""

import asyncio

import checks
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaEmbeddings, OllamaLLM

get_weather = tool(checks.get_weather)


def chat(model: ChatOllama, url: str) -> None:
    whole = model.invoke(checks.QUESTION)
    checks.says_paris("chat", whole.content)
    usage = whole.usage_metadata
    checks.counts("chat: usage", usage["input_tokens"], usage["output_tokens"])
    pieces = [piece.content for piece in model.stream(checks.QUESTION)]
    checks.says_paris_in_pieces("streaming", pieces)

    async def pieces_of() -> list[str]:
        return [piece.content async for piece in model.astream(checks.QUESTION)]

    checks.says_paris_in_pieces("async streaming", asyncio.run(pieces_of()))
    llm = OllamaLLM(model=checks.CHAT, base_url=url, temperature=0, num_predict=checks.TOKENS)
    checks.says_paris("completion", llm.invoke(checks.QUESTION))


def tools(model: ChatOllama) -> None:
    messages = []
    for n, city in enumerate(checks.EARLIER_CITIES):
        call = {"name": "get_weather", "args": {"city": city}, "id": f"earlier_{n}"}
        messages.append(HumanMessage(checks.ASK_WEATHER.format(city)))
        messages.append(AIMessage("", tool_calls=[call]))
    messages.append(HumanMessage(checks.ASK_WEATHER.format(checks.CITY)))
    able = model.bind_tools([get_weather])
    said = able.invoke(messages)
    checks.check("tools", len(said.tool_calls) == 1, "one call", said)
    call = said.tool_calls[0]
    checks.is_call("tools: call", call["name"], call["args"])
    result = get_weather.invoke(call)
    checks.check("tools: id", isinstance(result, ToolMessage), "a ToolMessage", result)
    checks.is_text("tools: result", model.invoke([*messages, said, result]).content)

    whole = None
    for piece in able.stream(messages):
        whole = piece if whole is None else whole + piece
    checks.check("streamed tools", len(whole.tool_calls) == 1, "one call", whole)
    checks.is_call("streamed tools: call", whole.tool_calls[0]["name"], whole.tool_calls[0]["args"])


def main() -> None:
    url = checks.address()
    model = ChatOllama(
        model=checks.CHAT,
        base_url=url,
        temperature=0,
        num_predict=checks.TOKENS,
        validate_model_on_init=True,
        client_kwargs={"timeout": checks.SECONDS},
    )
    chat(model, url)
    tools(model)
    structured = model.with_structured_output(checks.Answer, method="json_schema")
    checks.is_answer("structured output", structured.invoke(checks.QUESTION))
    vectors = OllamaEmbeddings(model=checks.EMBED, base_url=url)
    two = vectors.embed_documents(checks.TEXTS)
    checks.are_vectors("embeddings", two, vectors.embed_query(checks.TEXTS[0]))


if __name__ == "__main__":
    main()
