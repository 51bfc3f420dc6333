"""agent-squad: chat, streaming and its classifier, which is a forced call of a tool."""

import asyncio
import os

import checks
from agent_squad.agents import OpenAIAgent, OpenAIAgentOptions
from agent_squad.classifiers import OpenAIClassifier, OpenAIClassifierOptions
from agent_squad.orchestrator import AgentSquad
from agent_squad.types import ConversationMessage

SETTINGS = {"maxTokens": checks.TOKENS, "temperature": 0}


def agent(name: str, description: str, streaming: bool) -> OpenAIAgent:
    options = OpenAIAgentOptions(
        name=name,
        description=description,
        api_key="none",
        model=checks.CHAT,
        streaming=streaming,
        inference_config=SETTINGS,
        custom_system_prompt={"template": "You are a helpful assistant."},
    )
    return OpenAIAgent(options)


async def answers(geographer: OpenAIAgent, streaming: OpenAIAgent) -> None:
    said = await geographer.process_request(checks.QUESTION, "user", "session", [])
    checks.check("chat", isinstance(said, ConversationMessage), "a message", said)
    checks.says_paris("chat", said.content[0]["text"])
    pieces, last = [], None
    async for part in await streaming.process_request(checks.QUESTION, "user", "session", []):
        if part.final_message is None:
            pieces.append(part.text)
        else:
            last = part.final_message
    checks.says_paris_in_pieces("streaming", pieces)
    checks.says_paris("streaming: result", last.content[0]["text"])


async def routed(classifier: OpenAIClassifier, geographer: OpenAIAgent) -> None:
    classifier.set_agents({geographer.id: geographer})
    # What the tool was called with; which agent a model this small names is its own affair.
    result = await classifier.classify(checks.QUESTION, [])
    sound = isinstance(result.confidence, float)
    checks.check("tools: classifier", sound, "a call of analyzePrompt with a confidence", result)

    squad = AgentSquad(classifier=classifier, default_agent=geographer)
    squad.add_agent(geographer)
    result.selected_agent = result.selected_agent or geographer
    response = await squad.agent_process_request(checks.QUESTION, "user", "session", result)
    checks.says_paris("orchestrator", response.output.content[0]["text"])


def main() -> None:
    # Where its OpenAI client takes the address from.
    os.environ["OPENAI_BASE_URL"] = f"{checks.address()}/v1"
    geographer = agent("Geographer", "Knows countries and their capitals.", False)
    asyncio.run(answers(geographer, agent("Speaker", "Speaks.", True)))
    options = OpenAIClassifierOptions(
        api_key="none",
        model_id=checks.CHAT,
        inference_config={"max_tokens": 256, "temperature": 0.0},
    )
    asyncio.run(routed(OpenAIClassifier(options), geographer))


if __name__ == "__main__":
    main()
