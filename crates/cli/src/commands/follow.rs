//! Showing a run's events as they come, through restarts of the orchestrator.

use std::time::Duration;

use alina_client::{Connector, is_away};
use alina_proto::orchestrator::v1::{
    Event, EventKind, FollowRunRequest, GetRunRequest, Run, RunState,
};
use futures::StreamExt;
use owo_colors::{AnsiColors, OwoColorize};
use serde_json::{Value, json};

use crate::{
    failure::Failure,
    output::{Output, brief, rfc3339},
};

const AGAIN_AFTER: Duration = Duration::from_millis(500);
/// The orchestrator's restart, with its database's recovery.
const MOST_TRIES: u32 = 240;
const COLOURS: [AnsiColors; 5] = [
    AnsiColors::BrightBlue,
    AnsiColors::Magenta,
    AnsiColors::Cyan,
    AnsiColors::Yellow,
    AnsiColors::Green,
];

/// Shows the run's events after `after`, and gives the run when it has ended.
pub(super) async fn follow(
    connector: &Connector,
    run_id: &str,
    mut after: u64,
    output: Output,
) -> Result<Run, Failure> {
    let mut screen = Screen { output, agents: Vec::new(), open: None };
    let mut tries = 0;
    loop {
        let request = FollowRunRequest {
            run_id: run_id.to_owned(),
            after_sequence: after,
            include_deltas: !output.is_json(),
        };
        let mut trouble = None;
        match connector.orchestrator().follow_run(request).await {
            Ok(stream) => {
                let mut stream = stream.into_inner();
                while let Some(event) = stream.next().await {
                    match event.map(|event| event.event) {
                        Ok(Some(event)) => {
                            tries = 0;
                            after = after.max(event.sequence);
                            screen.show(&event)?;
                        }
                        Ok(None) => {}
                        Err(status) => trouble = Some(status),
                    }
                }
            }
            Err(status) => trouble = Some(status),
        }
        match trouble {
            Some(status) if !is_away(&status) => return Err(status.into()),
            Some(status) if tries >= MOST_TRIES => return Err(status.into()),
            Some(_) if tries == 0 => screen.note("the orchestrator is away; waiting for it")?,
            _ => {}
        }
        let request = GetRunRequest { run_id: run_id.to_owned() };
        if let Ok(answer) = connector.orchestrator().get_run(request).await
            && let Some(run) = answer.into_inner().run
            && !matches!(run.state(), RunState::Queued | RunState::Running)
            && run.last_sequence <= after
        {
            screen.close()?;
            return Ok(run);
        }
        tries += 1;
        tokio::time::sleep(AGAIN_AFTER).await;
    }
}

/// A run as programs read it.
pub(super) fn run_json(run: &Run) -> Value {
    json!({
        "id": run.id,
        "goal": run.goal,
        "state": state_name(run.state()),
        "created_at": rfc3339(run.created_at.as_ref()),
        "finished_at": rfc3339(run.finished_at.as_ref()),
        "answer": run.answer,
        "error": run.error,
        "steps": run.steps,
        "last_sequence": run.last_sequence,
        "namespace": run.namespace,
    })
}

/// `succeeded` and the like.
pub(super) fn state_name(state: RunState) -> String {
    state.as_str_name().trim_start_matches("RUN_STATE_").to_lowercase()
}

struct Screen {
    output: Output,
    /// In the order of their appearance, for their colours.
    agents: Vec<String>,
    /// Whose streamed text stands unfinished on the last line: agent and step.
    open: Option<(String, String)>,
}

impl Screen {
    fn show(&mut self, event: &Event) -> Result<(), Failure> {
        if self.output.is_json() {
            return self.output.json(&event_json(event));
        }
        if event.kind() == EventKind::Delta {
            return self.delta(event);
        }
        let streamed =
            self.open.as_ref().is_some_and(|(_, step)| step.starts_with(&task_of(event)));
        self.close()?;
        let name = self.name(&event.agent);
        let text = &event.text;
        match event.kind() {
            EventKind::RunStarted => self.output.line(format!("{} {text}", "▸".bold())),
            EventKind::Recalled if text.trim().is_empty() => Ok(()),
            EventKind::Recalled => {
                let count = text.lines().count();
                self.output.line(format!("{name} recalled {count} notes").dimmed())
            }
            EventKind::Planned => self.output.line(format!("{name} plan\n{}", indent(text))),
            EventKind::TaskStarted => self.output.line(format!("{name} {}", text.bold())),
            EventKind::ToolCalled => {
                let data = brief(&event.data_json, 160);
                self.output.line(format!("{name} → {}", data.dimmed()))
            }
            EventKind::ToolReturned => {
                let data = brief(&event.data_json, 160);
                self.output.line(format!("{name} ← {}", data.dimmed()))
            }
            EventKind::TaskFinished if streamed => Ok(()),
            EventKind::TaskFinished => self.output.line(format!("{name} {}", brief(text, 400))),
            EventKind::Waiting => self.note(text),
            EventKind::Resumed => self.note("taken up again"),
            EventKind::Alert => self.output.line(format!("{} {text}", "!".yellow().bold())),
            EventKind::RunFailed => self.output.line(format!("{} {text}", "✗".red().bold())),
            EventKind::RunCancelled => self.output.line(format!("{} cancelled", "✗".red().bold())),
            // The answer is shown by the command, in full.
            EventKind::RunSucceeded | EventKind::Delta | EventKind::Unspecified => Ok(()),
        }
    }

    /// Text as the model makes it, a line for each step.
    fn delta(&mut self, event: &Event) -> Result<(), Failure> {
        let whose = (event.agent.clone(), event.step_key.clone());
        if self.open.as_ref() != Some(&whose) {
            self.close()?;
            let name = self.name(&event.agent);
            self.output.text(&format!("{name} "))?;
            self.open = Some(whose);
        }
        self.output.text(&event.text)
    }

    fn close(&mut self) -> Result<(), Failure> {
        match self.open.take() {
            Some(_) => self.output.text("\n"),
            None => Ok(()),
        }
    }

    fn note(&mut self, text: &str) -> Result<(), Failure> {
        self.close()?;
        self.output.line(format!("{} {text}", "…".yellow()))
    }

    fn name(&mut self, agent: &str) -> String {
        let agent = if agent.is_empty() { "alina" } else { agent };
        let known = self.agents.iter().position(|known| known == agent);
        let index = known.unwrap_or_else(|| {
            self.agents.push(agent.to_owned());
            self.agents.len() - 1
        });
        format!("{:>12}", agent).color(COLOURS[index % COLOURS.len()]).to_string()
    }
}

/// The first part of a step's key: `task-2` of `task-2/turn-1`.
fn task_of(event: &Event) -> String {
    event.step_key.split('/').next().unwrap_or_default().to_owned()
}

fn indent(text: &str) -> String {
    text.lines().map(|line| format!("             {line}")).collect::<Vec<_>>().join("\n")
}

fn event_json(event: &Event) -> Value {
    let kind = event.kind().as_str_name().trim_start_matches("EVENT_KIND_").to_lowercase();
    json!({
        "run_id": event.run_id,
        "sequence": event.sequence,
        "at": rfc3339(event.at.as_ref()),
        "kind": kind,
        "agent": event.agent,
        "step": event.step_key,
        "text": event.text,
        "data": serde_json::from_str::<Value>(&event.data_json).unwrap_or(Value::Null),
    })
}
