//! One agent works on one task: it decides, calls tools, answers.

use futures::FutureExt;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    decision::{self, DECISION_TOKENS, Decision},
    journal::Effect,
    plan::Task,
    program::{Program, read, with_usage},
    prompts::{self, Budget, EarlierCall, Situation},
};
use crate::{
    agents::Agent,
    error::Error,
    peers::{Chat, ChatMessage},
    run::{EventKind, NewEvent, NewOutput, NewStep, StepKind},
    tools::{CallFor, Tool},
};

/// An agent's answer to its task, as journalled.
#[derive(Deserialize)]
struct Answer {
    text: String,
    model: String,
    instructions_version: String,
}

impl Program<'_> {
    /// Gives the task's result.
    pub(super) async fn task(&self, task: &Task, known: &str) -> Result<String, Error> {
        // Tasks of all runs share the places; the semaphore is never closed.
        let _place = self.engine.places.acquire().await.ok();
        let started = NewEvent::new(EventKind::TaskStarted, &task.task).of(&task.agent, &task.id);
        let step = NewStep {
            key: task.id.clone(),
            kind: StepKind::Task,
            agent: task.agent.clone(),
            input: json!({ "task": task.task }),
            begins: Some(started),
        };
        let output = self.journal.step(step, |_| self.work(task, known).boxed()).await?;
        read(output["result"].clone(), &task.id)
    }

    async fn work(&self, task: &Task, known: &str) -> Result<Effect, Error> {
        let agent = self.engine.roster.get(&task.agent)?;
        let _busy = agent.take_up();
        let situation = Situation { goal: &self.run.goal, known, task: &task.task };
        let tools: Vec<&dyn Tool> =
            agent.config.tools.iter().filter_map(|name| self.engine.toolbox.get(name)).collect();
        let mut calls = Vec::new();
        // The last model call is the answer's.
        for turn in 1..self.engine.config.max_turns {
            if tools.is_empty() {
                break;
            }
            let key = format!("{}/turn-{turn}", task.id);
            let decision = self.decide(agent, &key, situation, &calls, &tools).await?;
            let Decision::Call { tool, arguments } = Decision::from_model(&decision) else { break };
            // The same call would give the same: small models like to repeat themselves.
            if calls.iter().any(|call: &EarlierCall| call.decision == decision) {
                break;
            }
            let outcome = self.call(agent, &format!("{key}/tool"), &tool, &arguments).await?;
            calls.push(EarlierCall { tool, decision, outcome });
        }
        let answer = self.answer_task(agent, &task.id, situation, &calls).await?;
        let finished =
            NewEvent::new(EventKind::TaskFinished, &answer.text).of(&task.agent, &task.id);
        Ok(Effect {
            output: json!({ "result": answer.text }),
            events: vec![finished],
            put_out: Some(NewOutput {
                agent: task.agent.clone(),
                instructions_version: answer.instructions_version,
                model: answer.model,
                input: task.task.clone(),
                output: answer.text,
            }),
        })
    }

    /// Gives the decision as the model wrote it.
    async fn decide(
        &self,
        agent: &Agent,
        key: &str,
        situation: Situation<'_>,
        calls: &[EarlierCall],
        tools: &[&dyn Tool],
    ) -> Result<String, Error> {
        let config = &self.engine.config;
        let key = format!("{key}/decide");
        let step = self.agent_step(agent, &key, StepKind::Model, json!({ "for": "decision" }));
        let output = self
            .journal
            .step(step, |attempt| async move {
                let set = self.engine.roster.instructions(&self.engine.store, agent).await?;
                let budget = Budget::new(config.context_tokens, DECISION_TOKENS, attempt);
                let prompt = prompts::decide(&set.text, situation, calls, tools, budget);
                let chat = Chat {
                    schema: Some(decision::schema(tools)),
                    max_tokens: DECISION_TOKENS,
                    temperature: Some(0.0),
                    ..self.chat(agent, prompt)
                };
                let completion = self.engine.models.chat(chat, |_| ()).await?;
                let decision = json!({
                    "text": completion.text,
                    "instructions_version": set.version,
                });
                Ok(Effect::new(with_usage(decision, &completion)))
            })
            .await?;
        read(output["text"].clone(), &key)
    }

    /// Gives what the model is told: the result, or what went wrong.
    async fn call(
        &self,
        agent: &Agent,
        key: &str,
        tool: &str,
        arguments: &Value,
    ) -> Result<String, Error> {
        let input = json!({ "tool": tool, "arguments": arguments });
        let called = NewEvent::new(EventKind::ToolCalled, tool)
            .of(&agent.config.name, key)
            .data(input.clone());
        let mut step = self.agent_step(agent, key, StepKind::Tool, input);
        step.begins = Some(called);
        let on_behalf = &CallFor {
            agent: agent.config.name.clone(),
            run_id: self.run.id.to_string(),
            step_key: key.to_owned(),
            namespace: self.run.namespace.clone(),
            idempotency_key: self.journal.idempotency_key(key),
        };
        let output = self
            .journal
            .step(step, |_| async move {
                let toolbox = &self.engine.toolbox;
                let (word, text) =
                    match toolbox.call(tool, arguments, &agent.config.tools, on_behalf).await? {
                        Ok(result) => ("result", result),
                        Err(wrong) => ("error", wrong),
                    };
                let returned = NewEvent::new(EventKind::ToolReturned, &text)
                    .of(&agent.config.name, key)
                    .data(json!({ "tool": tool, word: text }));
                Ok(Effect::new(json!({ word: text })).event(returned))
            })
            .await?;
        let told = output.get("result").or_else(|| output.get("error"));
        read(told.cloned().unwrap_or_default(), key)
    }

    async fn answer_task(
        &self,
        agent: &Agent,
        task_id: &str,
        situation: Situation<'_>,
        calls: &[EarlierCall],
    ) -> Result<Answer, Error> {
        let config = &self.engine.config;
        let key = &format!("{task_id}/answer");
        let step = self.agent_step(agent, key, StepKind::Model, json!({ "for": "answer" }));
        let output = self
            .journal
            .step(step, |attempt| async move {
                let set = self.engine.roster.instructions(&self.engine.store, agent).await?;
                let max_tokens = config.max_answer_tokens;
                let budget = Budget::new(config.context_tokens, max_tokens, attempt);
                let prompt = prompts::answer(&set.text, situation, calls, budget);
                let chat = Chat { max_tokens, ..self.chat(agent, prompt) };
                let completion = self.aloud(chat, &agent.config.name, key).await?;
                let text = completion.text.trim();
                if text.is_empty() {
                    return Err(Error::BadOutput("an empty answer"));
                }
                let answer = json!({ "text": text, "instructions_version": set.version });
                Ok(Effect::new(with_usage(answer, &completion)))
            })
            .await?;
        read(output, key)
    }

    fn agent_step(&self, agent: &Agent, key: &str, kind: StepKind, input: Value) -> NewStep {
        NewStep { agent: agent.config.name.clone(), ..self.step(key, kind, input) }
    }

    fn chat(&self, agent: &Agent, messages: Vec<ChatMessage>) -> Chat {
        Chat {
            model: agent.config.model.clone(),
            messages,
            schema: None,
            max_tokens: 0,
            agent: agent.config.name.clone(),
            run_id: self.run.id.to_string(),
            temperature: None,
        }
    }
}
