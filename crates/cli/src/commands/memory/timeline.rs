//! What was true when, and what was believed of that.

use std::io::{self, Write};

use alina_proto::memory::v1::{Belief, TimelineEntry, TimelineRequest};
use owo_colors::OwoColorize;
use prost_types::Timestamp;
use serde_json::{Value, json};

use super::{Asked, day, graph::fact_json};
use crate::{
    arguments::Times,
    failure::Failure,
    output::{brief, rfc3339, when},
};

/// So many entries are asked for at once …
const PAGE: u32 = 500;
/// … and so many shown.
const MOST: usize = 10_000;

/// What is asked for.
pub(super) struct Period {
    pub(super) entity: String,
    pub(super) predicate: String,
    pub(super) from: Option<Timestamp>,
    pub(super) to: Option<Timestamp>,
}

impl Asked {
    pub(super) async fn timeline(mut self, period: Period, times: Times) -> Result<(), Failure> {
        let mut request = TimelineRequest {
            namespace: self.namespace,
            entity: period.entity,
            predicate: period.predicate,
            from: period.from,
            to: period.to,
            known_at: times.known_at,
            as_of: times.as_of,
            page_size: PAGE,
            page_token: String::new(),
        };
        let mut entries = Vec::new();
        loop {
            let page = self.memory.timeline(request.clone()).await?.into_inner();
            entries.extend(page.entries);
            if page.next_page_token.is_empty() || entries.len() >= MOST {
                break;
            }
            request.page_token = page.next_page_token;
        }
        let value = entries.iter().map(entry_json).collect();
        self.output.show(&Value::Array(value), |out| {
            for entry in &entries {
                write_entry(entry, out)?;
            }
            if entries.is_empty() {
                writeln!(out, "nothing is known")?;
            }
            Ok(())
        })
    }
}

fn entry_json(entry: &TimelineEntry) -> Value {
    let belief = |belief: &Belief| {
        json!({
            "valid_from": rfc3339(belief.valid_from.as_ref()),
            "valid_to": rfc3339(belief.valid_to.as_ref()),
            "since": rfc3339(belief.since.as_ref()),
            "until": rfc3339(belief.until.as_ref()),
            "reason": belief.reason,
        })
    };
    json!({
        "fact": entry.fact.as_ref().map(fact_json),
        "beliefs": entry.beliefs.iter().map(belief).collect::<Vec<_>>(),
    })
}

fn write_entry(entry: &TimelineEntry, out: &mut dyn Write) -> io::Result<()> {
    let Some(fact) = &entry.fact else { return Ok(()) };
    let predicate = fact.predicate.replace('_', " ");
    let text = brief(&format!("{} {predicate} {}", fact.subject, fact.object), 160);
    let span = validity(fact.valid_from.as_ref(), fact.valid_to.as_ref());
    if fact.retracted_at.is_some() {
        writeln!(out, "{span}  {} {}", "✗".red(), text.strikethrough())?;
    } else if fact.stale {
        let why = brief(&fact.stale_because.join("; "), 160);
        writeln!(out, "{span}  {} {text}  {}", "?".yellow(), format!("stale: {why}").yellow())?;
    } else {
        writeln!(out, "{span}  {} {text}", "●".green())?;
    }
    writeln!(out, "{:25}{}", "", fact.id.dimmed())?;
    // What is believed now stands above.
    for belief in entry.beliefs.iter().filter(|belief| belief.until.is_some()) {
        let (since, until) = (when(belief.since.as_ref()), when(belief.until.as_ref()));
        let span = validity(belief.valid_from.as_ref(), belief.valid_to.as_ref());
        let why =
            if belief.reason.is_empty() { String::new() } else { format!(": {}", belief.reason) };
        let line = format!("believed {since} to {until}: {}{why}", span.trim_end());
        writeln!(out, "{:25}{}", "", line.dimmed())?;
    }
    Ok(())
}

/// A span as wide as any.
fn validity(from: Option<&Timestamp>, to: Option<&Timestamp>) -> String {
    format!("{} … {:10}", day(from, ""), day(to, ""))
}
