"""autogen-ext[ollama,openai]: chat, streaming, tools, structured output, by both interfaces."""

import asyncio
import json

import checks
from autogen_core import CancellationToken, FunctionCall
from autogen_core.models import (
    AssistantMessage,
    ChatCompletionClient,
    CreateResult,
    FunctionExecutionResult,
    FunctionExecutionResultMessage,
    ModelFamily,
    ModelInfo,
    UserMessage,
)
from autogen_core.tools import FunctionTool
from autogen_ext.models.ollama import OllamaChatCompletionClient
from autogen_ext.models.openai import OpenAIChatCompletionClient

INFO = ModelInfo(
    vision=False,
    function_calling=True,
    json_output=True,
    structured_output=True,
    family=ModelFamily.UNKNOWN,
    multiple_system_messages=True,
)
TOOL = FunctionTool(checks.get_weather, description=checks.get_weather.__doc__)


def user(text: str) -> UserMessage:
    return UserMessage(content=text, source="user")


def assistant(content: str | list[FunctionCall]) -> AssistantMessage:
    return AssistantMessage(content=content, source="assistant")


async def streamed(name: str, stream) -> CreateResult:
    parts = [part async for part in stream]
    whole = parts[-1]
    checks.check(name, isinstance(whole, CreateResult), "a result at the end", whole)
    return whole, [part for part in parts if isinstance(part, str)]


def the_call(name: str, result: CreateResult) -> FunctionCall:
    one = isinstance(result.content, list) and len(result.content) == 1
    checks.check(name, one, "one call", result)
    call = result.content[0]
    checks.is_call(f"{name}: call", call.name, json.loads(call.arguments))
    return call


async def all_of(name: str, client: ChatCompletionClient) -> None:
    ask = [user(checks.QUESTION)]
    whole = await client.create(ask)
    checks.says_paris(f"{name} chat", whole.content)
    usage = whole.usage
    checks.counts(f"{name} chat: usage", usage.prompt_tokens, usage.completion_tokens)
    whole, pieces = await streamed(f"{name} streaming", client.create_stream(ask))
    checks.says_paris_in_pieces(f"{name} streaming", pieces)
    checks.says_paris(f"{name} streaming: result", whole.content)

    messages = []
    for n, city in enumerate(checks.EARLIER_CITIES):
        call = FunctionCall(id=f"earlier_{n}", name="get_weather", arguments=json.dumps({"city": city}))
        messages += [user(checks.ASK_WEATHER.format(city)), assistant([call])]
    messages.append(user(checks.ASK_WEATHER.format(checks.CITY)))
    # Ollama's interface has no way to demand a call; the client asks as with "auto".
    asked = {"tools": [TOOL], "tool_choice": "required"}
    called = await client.create(messages, **asked)
    call = the_call(f"{name} tools", called)
    result = await TOOL.run_json(json.loads(call.arguments), CancellationToken())
    result = FunctionExecutionResult(
        content=TOOL.return_value_as_string(result), call_id=call.id, name=call.name, is_error=False
    )
    messages += [assistant(called.content), FunctionExecutionResultMessage(content=[result])]
    said = await client.create(messages)
    checks.is_text(f"{name} tools: result", said.content)
    whole, _ = await streamed(f"{name} streamed tools", client.create_stream(messages[:-2], **asked))
    the_call(f"{name} streamed tools", whole)

    whole = await client.create(ask, json_output=checks.Answer)
    checks.is_answer(f"{name} structured output", whole.content)
    await client.close()


def main() -> None:
    url = checks.address()
    openai = OpenAIChatCompletionClient(
        model=checks.CHAT,
        base_url=f"{url}/v1",
        api_key="none",
        model_info=INFO,
        temperature=0,
        max_tokens=checks.TOKENS,
        timeout=checks.SECONDS,
    )
    ollama = OllamaChatCompletionClient(
        model=checks.CHAT,
        host=url,
        model_info=INFO,
        options={"temperature": 0, "num_predict": checks.TOKENS},
        timeout=checks.SECONDS,
    )
    for name, client in (("openai:", openai), ("ollama:", ollama)):
        asyncio.run(all_of(name, client))


if __name__ == "__main__":
    main()
