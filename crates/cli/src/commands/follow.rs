//! Showing a run's events as they come, through restarts of the orchestrator.

use std::{collections::BTreeMap, time::Duration};

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

/// Shows the run's events after `after`, with the text as models make it when `deltas`; gives the
/// run when it has ended.
pub(super) async fn follow(
    connector: &Connector,
    run_id: &str,
    mut after: u64,
    deltas: bool,
    output: Output,
) -> Result<Run, Failure> {
    let mut screen = Screen { output, agents: Vec::new(), streams: BTreeMap::new() };
    let mut tries = 0;
    loop {
        let request = FollowRunRequest {
            run_id: run_id.to_owned(),
            after_sequence: after,
            include_deltas: deltas && !output.is_json(),
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
    /// Streamed text that is not a whole line yet, by step. Agents work side by side: only whole
    /// lines are shown, so that they do not run into each other.
    streams: BTreeMap<String, String>,
}

impl Screen {
    fn show(&mut self, event: &Event) -> Result<(), Failure> {
        if self.output.is_json() {
            return self.output.json(&event_json(event));
        }
        if event.kind() == EventKind::Delta {
            return self.delta(event);
        }
        let streamed = self.flush(event)?;
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

    /// Text as the model makes it, by lines.
    fn delta(&mut self, event: &Event) -> Result<(), Failure> {
        let text = self.streams.entry(event.step_key.clone()).or_default();
        text.push_str(&event.text);
        let mut lines = Vec::new();
        while let Some(end) = line_end(text) {
            let line: String = text.drain(..end).collect();
            lines.push(line.trim_end().to_owned());
        }
        let name = self.name(&event.agent);
        lines
            .into_iter()
            .filter(|line| !line.is_empty())
            .try_for_each(|line| self.output.line(format!("{name} {line}")))
    }

    /// Shows what is left of the streams of a task that has ended; whether it had streamed.
    fn flush(&mut self, event: &Event) -> Result<bool, Failure> {
        if event.kind() != EventKind::TaskFinished {
            return Ok(false);
        }
        let task = task_of(&event.step_key);
        let steps: Vec<String> =
            self.streams.keys().filter(|step| task_of(step) == task).cloned().collect();
        let name = self.name(&event.agent);
        for step in &steps {
            let rest = self.streams.remove(step).unwrap_or_default();
            if !rest.trim().is_empty() {
                self.output.line(format!("{name} {}", rest.trim_end()))?;
            }
        }
        Ok(!steps.is_empty())
    }

    fn note(&mut self, text: &str) -> Result<(), Failure> {
        self.output.line(format!("{} {text}", "…".yellow()))
    }

    fn name(&mut self, agent: &str) -> String {
        let agent = if agent.is_empty() { "alina" } else { agent };
        let known = self.agents.iter().position(|known| known == agent);
        let index = known.unwrap_or_else(|| {
            self.agents.push(agent.to_owned());
            self.agents.len() - 1
        });
        format!("{agent:>12}").color(COLOURS[index % COLOURS.len()]).to_string()
    }
}

/// Where a line of streamed text ends: at its line break, or at a blank when it gets long.
fn line_end(text: &str) -> Option<usize> {
    const LONG: usize = 96;
    let long = text.len() > LONG;
    let wrap = || text[..text.floor_char_boundary(LONG)].rfind(' ').map(|at| at + 1);
    text.find('\n').map(|at| at + 1).or_else(|| long.then(wrap).flatten())
}

/// The first part of a step's key: `task-2` of `task-2/turn-1`.
fn task_of(step_key: &str) -> &str {
    step_key.split('/').next().unwrap_or_default()
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
