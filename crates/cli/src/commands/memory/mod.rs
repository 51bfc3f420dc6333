//! `alina memory`.

mod archive;
mod bank;
mod context;
mod correct;
mod documents;
mod forget;
mod graph;
mod log;
mod merge;
mod timeline;
mod tree;
mod watch;

use alina_client::PeerChannel;
use alina_proto::memory::v1::{
    Episode, ExtractionCost, FactInput, GetStatsRequest, RememberRequest, SearchRequest,
    memory_service_client::MemoryServiceClient,
};
use owo_colors::OwoColorize;
use prost_types::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    arguments::{Bank, Memory, MemoryArguments},
    failure::Failure,
    output::{Output, brief, rfc3339, when},
    session::Session,
};

type Client = MemoryServiceClient<PeerChannel>;

pub(super) async fn run(
    arguments: MemoryArguments,
    session: &Session,
    output: Output,
) -> Result<(), Failure> {
    let memory = session.connect().await?.memory();
    let asked = Asked { memory, namespace: arguments.namespace, output };
    asked.run(arguments.command).await
}

/// Who answers, of whose memory, to whom.
struct Asked {
    memory: Client,
    namespace: String,
    output: Output,
}

impl Asked {
    async fn run(self, command: Memory) -> Result<(), Failure> {
        let namespace = self.namespace.clone();
        match command {
            Memory::Search { query, limit, times } => {
                let (as_of, known_at) = (times.as_of, times.known_at);
                let request = SearchRequest {
                    namespace,
                    query,
                    limit,
                    as_of,
                    known_at,
                    ..Default::default()
                };
                search(self.memory, request, self.output).await
            }
            Memory::Context(wish) => self.context(wish).await,
            Memory::Remember { text } => self.remember(text).await,
            Memory::Fact {
                subject,
                predicate,
                object,
                entity,
                functional,
                from,
                to,
                derived_from,
            } => {
                let fact = FactInput {
                    subject,
                    predicate,
                    object,
                    object_is_entity: entity,
                    functional,
                    valid_from: from,
                    valid_to: to,
                    derived_from,
                    ..FactInput::default()
                };
                self.fact(fact).await
            }
            Memory::Timeline { entity, predicate, from, to, times } => {
                let period = timeline::Period { entity, predicate, from, to };
                self.timeline(period, times).await
            }
            Memory::Explain { id, times } => self.explain(id, times).await,
            Memory::Neighbors { entity, hops, limit, predicates, times } => {
                self.neighbors(graph::Around { entity, hops, limit, predicates }, times).await
            }
            Memory::Path { from, to, max_hops, times } => {
                self.path(from, to, max_hops, times).await
            }
            Memory::Retract { id, reason } => self.retract(id, reason).await,
            Memory::Restore { id } => self.restore(id).await,
            Memory::Revise { id, from, to } => self.revise(id, from, to).await,
            Memory::Merge { into, from } => self.merge(into, from).await,
            Memory::Unmerge { name } => self.unmerge(name).await,
            Memory::Suggestions { limit } => self.suggestions(limit).await,
            Memory::Forget(forget) => self.forget(forget).await,
            Memory::Watch { after, until_now } => self.watch(after, until_now).await,
            Memory::Bank(Bank::Import { folder }) => self.import(&folder).await,
            Memory::Bank(Bank::Export { folder }) => self.export(&folder).await,
            Memory::Bank(Bank::Status) => self.status().await,
            Memory::Bank(Bank::Show { path, section }) => self.show(path, &section).await,
            Memory::Bank(Bank::Edit(edit)) => self.edit(edit).await,
            Memory::Bank(Bank::Sync { accept_deletions }) => self.sync(accept_deletions).await,
            Memory::Actions { run } => self.actions(run).await,
            Memory::Verify { position, hash } => self.verify(position, hash).await,
            Memory::Export(wish) => self.give_out(wish).await,
            Memory::Import { file } => self.take_in(&file).await,
            Memory::Stats => self.stats().await,
        }
    }

    async fn remember(mut self, text: String) -> Result<(), Failure> {
        let episode = Episode {
            text,
            actor: "user".to_owned(),
            source: "alina".to_owned(),
            ..Episode::default()
        };
        let request = RememberRequest {
            namespace: self.namespace,
            idempotency_key: Uuid::new_v4().to_string(),
            episode: Some(episode),
            ..RememberRequest::default()
        };
        let id = self.memory.remember(request).await?.into_inner().episode_id;
        let value = json!({ "episode_id": id });
        self.output.show(&value, |out| writeln!(out, "{} {id}", "✓".green()))
    }

    async fn fact(mut self, fact: FactInput) -> Result<(), Failure> {
        let request = RememberRequest {
            namespace: self.namespace,
            idempotency_key: Uuid::new_v4().to_string(),
            facts: vec![fact],
            ..RememberRequest::default()
        };
        let written = self.memory.remember(request).await?.into_inner();
        let id = written.fact_ids.first().map_or("", String::as_str);
        let stale = !written.stale_fact_ids.is_empty();
        self.output.show(&json!({ "fact_id": id, "stale": stale }), |out| {
            writeln!(out, "{} {id}", "✓".green())?;
            if stale {
                let hint = format!(
                    "stale: something it rests on does not hold; alina memory explain {id}"
                );
                writeln!(out, "{}", hint.yellow())?;
            }
            Ok(())
        })
    }

    async fn stats(mut self) -> Result<(), Failure> {
        let request = GetStatsRequest { namespace: self.namespace };
        let stats = self.memory.get_stats(request).await?.into_inner();
        let value = json!({
            "episodes": stats.episodes,
            "facts": stats.facts,
            "entities": stats.entities,
            "sections": stats.sections,
            "actions": stats.actions,
            "awaiting_vectors": stats.awaiting_vectors,
            "cache_available": stats.cache_available,
            "documents": stats.documents,
            "bank_conflicts": stats.bank_conflicts,
            "awaiting_extraction": stats.awaiting_extraction,
            "extraction": {
                "rules": cost_json(stats.rules.as_ref()),
                "model": cost_json(stats.model.as_ref()),
            },
        });
        self.output.show(&value, |out| {
            writeln!(
                out,
                "{} episodes, {} facts about {} entities, {} sections, {} actions; {} wait for vectors",
                stats.episodes,
                stats.facts,
                stats.entities,
                stats.sections,
                stats.actions,
                stats.awaiting_vectors
            )?;
            for (who, cost) in [("rules", stats.rules), ("a model", stats.model)] {
                let cost = cost.unwrap_or_default();
                if cost.episodes > 0 {
                    let seconds = seconds(&cost);
                    let (episodes, facts) = (cost.episodes, cost.facts);
                    write!(out, "{who} took {facts} facts out of {episodes} episodes in {seconds:.1} s")?;
                    if cost.tokens > 0 {
                        write!(out, ", {} tokens, {} refused", cost.tokens, cost.refused)?;
                    }
                    writeln!(out)?;
                }
            }
            if stats.awaiting_extraction > 0 {
                writeln!(out, "{} episodes wait to be read for facts", stats.awaiting_extraction)?;
            }
            Ok(())
        })
    }
}

fn cost_json(cost: Option<&ExtractionCost>) -> Value {
    let cost = cost.copied().unwrap_or_default();
    json!({
        "episodes": cost.episodes,
        "facts": cost.facts,
        "refused": cost.refused,
        "tokens": cost.tokens,
        "seconds": seconds(&cost),
    })
}

fn seconds(cost: &ExtractionCost) -> f64 {
    let time = cost.time.unwrap_or_default();
    time.seconds as f64 + f64::from(time.nanos) / 1e9
}

async fn search(mut memory: Client, request: SearchRequest, output: Output) -> Result<(), Failure> {
    let found = memory.search(request).await?.into_inner();
    let value: Vec<Value> = found
        .results
        .iter()
        .map(|result| {
            json!({
                "id": result.id,
                "kind": result.kind().as_str_name().trim_start_matches("ITEM_KIND_").to_lowercase(),
                "text": result.text,
                "score": result.score,
                "reasons": result.reasons,
                "source": result.source,
                "valid_from": rfc3339(result.valid_from.as_ref()),
                "valid_to": rfc3339(result.valid_to.as_ref()),
                "recorded_at": rfc3339(result.recorded_at.as_ref()),
                "stale": result.stale,
                "stale_because": result.stale_because,
            })
        })
        .collect();
    output.show(&Value::Array(value), |out| {
        for result in &found.results {
            let at = when(result.valid_from.as_ref());
            let facts = format!("{at} · {} · {}", result.source, result.reasons.join(", "));
            writeln!(out, "{}\n  {}", brief(&result.text, 300), facts.dimmed())?;
            if result.stale {
                let stale = format!("stale: {}", result.stale_because.join("; "));
                writeln!(out, "  {}", stale.yellow())?;
            }
        }
        if found.results.is_empty() {
            writeln!(out, "nothing was found")?;
        }
        if !found.vectors_used {
            let hint = "found by words only: no embedding model answers";
            writeln!(out, "{}", hint.yellow())?;
        }
        Ok(())
    })
}

/// A day as people read it, or a sign for none.
fn day(at: Option<&Timestamp>, none: &'static str) -> String {
    let at = at.and_then(alina_proto::time::date_time);
    at.map_or_else(|| none.to_owned(), |at| at.format("%Y-%m-%d").to_string())
}
