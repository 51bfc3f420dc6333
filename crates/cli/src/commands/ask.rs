//! `alina ask`.

use alina_proto::orchestrator::v1::{AskCitation, AskRequest, ask_response::Event};
use futures::StreamExt;
use owo_colors::OwoColorize;
use serde_json::json;

use crate::{
    failure::Failure,
    output::{Output, brief, rfc3339, when},
    session::Session,
};

pub(super) async fn ask(
    question: String,
    namespace: String,
    session: &Session,
    output: Output,
) -> Result<(), Failure> {
    let connector = session.connect().await?;
    let request = AskRequest { question, namespace, ..AskRequest::default() };
    let mut events = connector.orchestrator().ask(request).await?.into_inner();
    let mut citations: Vec<AskCitation> = Vec::new();
    let mut context = String::new();
    let mut answer = String::new();
    while let Some(event) = events.next().await {
        match event?.event {
            Some(Event::Context(given)) => {
                context = given.context;
                citations = given.citations;
            }
            Some(Event::Delta(text)) => output.text(&text)?,
            Some(Event::Answer(text)) => answer = text,
            None => {}
        }
    }
    let value = json!({
        "answer": answer,
        "context": context,
        "citations": citations.iter().map(|citation| json!({
            "label": citation.label,
            "text": citation.text,
            "source": citation.source,
            "recorded_at": rfc3339(citation.recorded_at.as_ref()),
        })).collect::<Vec<_>>(),
    });
    output.show(&value, |out| {
        writeln!(out)?;
        if citations.is_empty() {
            return writeln!(out, "{}", "memory knew nothing of it".dimmed());
        }
        writeln!(out, "\n{}", "from memory".dimmed())?;
        for citation in &citations {
            let at = when(citation.recorded_at.as_ref());
            let text = brief(&citation.text, 100);
            let line = format!("{} {at} {}  {text}", citation.label, citation.source);
            writeln!(out, "{}", line.dimmed())?;
        }
        Ok(())
    })
}
