"""llama-index-llms-ollama: chat, completion, streaming, tools, structured output."""

import asyncio

import checks
from llama_index.core.base.llms.types import ToolCallBlock
from llama_index.core.llms import ChatMessage, MessageRole, TextBlock
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools import FunctionTool
from llama_index.llms.ollama import Ollama

ASK = [ChatMessage(role=MessageRole.USER, content=checks.QUESTION)]


def chat(llm: Ollama) -> None:
    window = llm.metadata.context_window
    checks.check("context window", window == 4096, "that of config.yaml, 4096", window)
    whole = llm.chat(ASK)
    checks.says_paris("chat", whole.message.content)
    usage = whole.raw["usage"]
    checks.counts("chat: usage", usage["prompt_tokens"], usage["completion_tokens"])
    checks.says_paris("completion", llm.complete(checks.QUESTION).text)
    checks.says_paris_in_pieces("streaming", [piece.delta for piece in llm.stream_chat(ASK)])

    async def pieces_of() -> list[str]:
        return [piece.delta async for piece in await llm.astream_chat(ASK)]

    checks.says_paris_in_pieces("async streaming", asyncio.run(pieces_of()))


def tools(llm: Ollama) -> None:
    tool = FunctionTool.from_defaults(checks.get_weather)
    history = []
    for city in checks.EARLIER_CITIES:
        call = ToolCallBlock(tool_name="get_weather", tool_kwargs={"city": city})
        history.append(ChatMessage(role=MessageRole.USER, content=checks.ASK_WEATHER.format(city)))
        history.append(ChatMessage(role=MessageRole.ASSISTANT, blocks=[call]))
    question = checks.ASK_WEATHER.format(checks.CITY)
    said = llm.chat_with_tools([tool], user_msg=question, chat_history=list(history))
    calls = llm.get_tool_calls_from_response(said, error_on_no_tool_call=False)
    checks.check("tools", len(calls) == 1, "one call", said)
    checks.is_call("tools: call", calls[0].tool_name, calls[0].tool_kwargs)
    result = ChatMessage(
        role=MessageRole.TOOL, blocks=[TextBlock(text=str(tool(**calls[0].tool_kwargs)))]
    )
    asked = ChatMessage(role=MessageRole.USER, content=question)
    after = llm.chat([*history, asked, said.message, result])
    checks.is_text("tools: result", after.message.content)

    stream = llm.stream_chat_with_tools([tool], user_msg=question, chat_history=list(history))
    last = list(stream)[-1]
    calls = llm.get_tool_calls_from_response(last, error_on_no_tool_call=False)
    checks.check("streamed tools", len(calls) == 1, "one call", last)
    checks.is_call("streamed tools: call", calls[0].tool_name, calls[0].tool_kwargs)


def main() -> None:
    llm = Ollama(
        model=checks.CHAT,
        base_url=checks.address(),
        temperature=0,
        request_timeout=checks.SECONDS,
        additional_kwargs={"num_predict": checks.TOKENS},
    )
    chat(llm)
    tools(llm)
    answer = llm.structured_predict(checks.Answer, PromptTemplate(checks.QUESTION))
    checks.is_answer("structured output", answer)
    answer = llm.as_structured_llm(checks.Answer).complete(checks.QUESTION).raw
    checks.is_answer("structured model", answer)


if __name__ == "__main__":
    main()
