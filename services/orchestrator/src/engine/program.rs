//! What a run does: recall, plan, let agents work, put the answer together, remember.

use futures::{FutureExt, future::join_all};
use serde_json::{Value, json};

use super::{
    Engine,
    journal::{Effect, Journal},
    plan::{PLAN_TOKENS, Plan, ROUTE_TOKENS, Task, plan_schema, route_schema, routed},
    prompts::{self, Budget},
};
use crate::{
    agents::Agent,
    error::Error,
    peers::{Chat, Completion, Recalled},
    run::{EventKind, NewEvent, NewStep, Run, StepKind},
};

/// Who plans, routes and concludes: no agent of config.yaml (their names have no blank).
pub(super) const SUPERVISOR: &str = "the supervisor";

/// A run's program. It is deterministic but for what its steps give, and those are journalled:
/// run again it takes the same way.
pub(super) struct Program<'a> {
    pub(super) engine: &'a Engine,
    pub(super) journal: &'a Journal,
    pub(super) run: &'a Run,
}

/// A task with what came of it: its result, or why it failed.
pub(super) struct Outcome<'a> {
    pub(super) task: &'a Task,
    pub(super) result: Result<String, String>,
}

impl Program<'_> {
    /// Gives the answer.
    pub(super) async fn drive(&self) -> Result<String, Error> {
        let recalled = self.recall().await?;
        let plan = self.plan().await?;
        let work = plan.tasks.iter().map(|task| {
            async {
                match self.task(task, &recalled.context).await {
                    Ok(result) => Ok(Outcome { task, result: Ok(result) }),
                    Err(error @ Error::LeaseLost(_)) => Err(error),
                    Err(error) => Ok(Outcome { task, result: Err(error.to_string()) }),
                }
            }
            .boxed()
        });
        let outcomes: Vec<_> = join_all(work).await.into_iter().collect::<Result<_, _>>()?;
        let answer = self.answer(&outcomes).await?;
        self.remember(&plan, &outcomes, &answer).await?;
        Ok(answer)
    }

    async fn recall(&self) -> Result<Recalled, Error> {
        let Run { id, goal, namespace, .. } = self.run;
        let budget = self.engine.config.recall_tokens;
        let step = self.step("recall", StepKind::Recall, json!({ "query": goal }));
        let output = self
            .journal
            .step(step, |_| async move {
                let session = id.to_string();
                let memory = &self.engine.memory;
                let recalled = memory.begin(namespace, goal, budget, &session).await?;
                let event = NewEvent::new(EventKind::Recalled, &recalled.context).of("", "recall");
                Ok(Effect::new(json!(recalled)).event(event))
            })
            .await?;
        read(output, "recall")
    }

    async fn plan(&self) -> Result<Plan, Error> {
        let config = &self.engine.config;
        let agents = &self.engine.roster.allowed(&self.run.agents)?;
        let goal = &self.run.goal;
        let step = self.step("plan", StepKind::Plan, json!({ "goal": goal }));
        let output = self
            .journal
            .step(step, |attempt| async move {
                let budget = Budget::new(config.context_tokens, PLAN_TOKENS, attempt);
                let prompt = prompts::plan(goal, agents, config.max_tasks, budget);
                let schema = plan_schema(agents, config.max_tasks);
                let chat = Chat {
                    schema: Some(schema),
                    max_tokens: PLAN_TOKENS,
                    temperature: Some(0.0),
                    ..self.supervisor(prompt)
                };
                let completion = self.supervise(chat).await?;
                let plan = Plan::from_model(&completion.text, goal, agents, config.max_tasks);
                let effect = Effect::new(with_usage(json!({ "plan": plan }), &completion));
                Ok(if is_routed(&plan) { effect.event(planned(&plan, "plan")) } else { effect })
            })
            .await?;
        let plan: Plan = read(output["plan"].clone(), "plan")?;
        if is_routed(&plan) { Ok(plan) } else { self.route(agents).await }
    }

    /// Chooses who works on a goal that is a single task.
    async fn route(&self, agents: &[&Agent]) -> Result<Plan, Error> {
        let config = &self.engine.config;
        let goal = &self.run.goal;
        let step = self.step("route", StepKind::Plan, json!({ "task": goal }));
        let output = self
            .journal
            .step(step, |attempt| async move {
                let budget = Budget::new(config.context_tokens, ROUTE_TOKENS, attempt);
                let chat = Chat {
                    schema: Some(route_schema(agents)),
                    max_tokens: ROUTE_TOKENS,
                    // The likeliest agent, not a lucky one.
                    temperature: Some(0.0),
                    ..self.supervisor(prompts::route(goal, agents, budget))
                };
                let completion = self.supervise(chat).await?;
                let plan = Plan::whole(goal, routed(&completion.text, agents));
                let effect = Effect::new(with_usage(json!({ "plan": plan }), &completion));
                Ok(effect.event(planned(&plan, "route")))
            })
            .await?;
        read(output["plan"].clone(), "route")
    }

    /// Puts the results together; a single result is the answer.
    async fn answer(&self, outcomes: &[Outcome<'_>]) -> Result<String, Error> {
        let results: &Vec<(String, String)> = &outcomes
            .iter()
            .filter_map(|one| Some((one.task.task.clone(), one.result.clone().ok()?)))
            .collect();
        let failures: Vec<String> = outcomes
            .iter()
            .filter_map(|Outcome { task, result }| {
                let reason = result.as_ref().err()?;
                Some(format!("{} ({}): {reason}", task.id, task.agent))
            })
            .collect();
        if results.is_empty() {
            return Err(Error::AllTasksFailed(failures.join("; ")));
        }
        let not_done = &match failures.as_slice() {
            [] => String::new(),
            failures => format!("\n\nNot done:\n- {}", failures.join("\n- ")),
        };
        let (config, goal) = (&self.engine.config, &self.run.goal);
        let step = self.step("answer", StepKind::Answer, json!({ "results": results.len() }));
        let output = self
            .journal
            .step(step, |attempt| async move {
                if let [(_, result)] = results.as_slice() {
                    return Ok(Effect::new(json!({ "answer": format!("{result}{not_done}") })));
                }
                let max_tokens = config.max_answer_tokens;
                let budget = Budget::new(config.context_tokens, max_tokens, attempt);
                let prompt = prompts::conclude(goal, results, budget);
                let chat = Chat { max_tokens, ..self.supervisor(prompt) };
                let completion = self.supervise_aloud(chat, "answer").await?;
                let text = match completion.text.trim() {
                    // A model that says nothing must not hide what the agents found.
                    "" => {
                        let results: Vec<_> =
                            results.iter().map(|(_, result)| result.as_str()).collect();
                        results.join("\n\n")
                    }
                    text => text.to_owned(),
                };
                let answer = json!({ "answer": format!("{text}{not_done}") });
                Ok(Effect::new(with_usage(answer, &completion)))
            })
            .await?;
        read(output["answer"].clone(), "answer")
    }

    pub(super) fn step(&self, key: &str, kind: StepKind, input: Value) -> NewStep {
        NewStep { key: key.to_owned(), kind, agent: String::new(), input, begins: None }
    }

    fn supervisor(&self, messages: Vec<crate::peers::ChatMessage>) -> Chat {
        Chat {
            model: self.engine.config.model.clone(),
            messages,
            schema: None,
            max_tokens: 0,
            agent: SUPERVISOR.to_owned(),
            run_id: self.run.id.to_string(),
            temperature: None,
        }
    }

    async fn supervise(&self, chat: Chat) -> Result<Completion, Error> {
        // The semaphore is never closed.
        let _place = self.engine.places.acquire().await.ok();
        Ok(self.engine.models.chat(chat, |_| ()).await?)
    }

    async fn supervise_aloud(&self, chat: Chat, step_key: &str) -> Result<Completion, Error> {
        let _place = self.engine.places.acquire().await.ok();
        Ok(self.aloud(chat, "", step_key).await?)
    }

    /// Calls a model; followers see its text as it comes.
    pub(super) async fn aloud(
        &self,
        chat: Chat,
        agent: &str,
        step_key: &str,
    ) -> Result<Completion, crate::peers::PeerError> {
        let (bus, run) = (&self.engine.bus, self.run.id);
        self.engine.models.chat(chat, |piece| bus.delta(run, agent, step_key, piece)).await
    }
}

fn is_routed(plan: &Plan) -> bool {
    plan.tasks.iter().all(|task| !task.agent.is_empty())
}

fn planned(plan: &Plan, step_key: &str) -> NewEvent {
    NewEvent::new(EventKind::Planned, plan.text()).of("", step_key).data(plan.data())
}

/// Adds what a model call cost to a step's output.
pub(super) fn with_usage(mut output: Value, completion: &Completion) -> Value {
    output["model"] = json!(completion.model);
    output["prompt_tokens"] = json!(completion.prompt_tokens);
    output["completion_tokens"] = json!(completion.completion_tokens);
    output
}

/// Reads a step's output back from the journal.
pub(super) fn read<T: serde::de::DeserializeOwned>(output: Value, key: &str) -> Result<T, Error> {
    serde_json::from_value(output)
        .map_err(|error| Error::Store(format!("step {key} was journalled differently: {error}")))
}
