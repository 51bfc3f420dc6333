//! Writing facts: about whom, what they end, what they rest on.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    belief::{Spot, note_staleness, settle},
    changes::Changes,
    entities::found_or_made,
    items::insert_items,
    resolution::resolved,
};
use crate::{
    error::MemoryError,
    knowledge::{Item, Kind, Namespace, NewFact, belief::ChangeKind},
};

/// Where facts come from and of when they are.
#[derive(Default)]
pub(super) struct Origin {
    pub(super) source: String,
    pub(super) actor: String,
    pub(super) session: String,
    pub(super) happened: DateTime<Utc>,
    /// They rest on it, and it holds.
    pub(super) episode: Option<Uuid>,
}

/// Known names in lower case, by the name as it was given.
pub(super) type Meant = HashMap<String, String>;

impl Origin {
    pub(super) fn item(&self, id: Uuid, kind: Kind, text: String, at: DateTime<Utc>) -> Item {
        Item {
            id,
            kind,
            text,
            source: self.source.clone(),
            actor: self.actor.clone(),
            session: self.session.clone(),
            valid_from: self.happened,
            valid_to: None,
            recorded_at: at,
        }
    }
}

/// What is to be written.
pub(super) struct Told {
    pub(super) origin: Origin,
    /// The episode, if it is written now, too.
    pub(super) said: Option<Item>,
    /// With the ids they get.
    pub(super) facts: Vec<(Uuid, NewFact)>,
    /// When names were read out of a text, and may be spelt otherwise than what they stand for: the
    /// known names that some of them mean.
    pub(super) meant: Option<Meant>,
}

impl Told {
    /// Writes it all down, lets facts end others, and notes what became stale; gives those of the facts
    /// that are stale from the start. Nobody else may change what is believed meanwhile.
    pub(super) async fn write(
        self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        at: DateTime<Utc>,
        changes: &mut Changes,
    ) -> Result<Vec<Uuid>, MemoryError> {
        let Self { origin, said, facts, meant } = self;
        let entities = Entities::of(connection, namespace, meant, &facts).await?;
        let rows = Rows::new(connection, namespace, &facts, entities, at, changes).await?;
        let items = facts.iter().map(|(id, fact)| Item {
            valid_from: fact.valid_from.unwrap_or(origin.happened),
            valid_to: fact.valid_to,
            ..origin.item(*id, Kind::Fact, fact.sentence(), at)
        });
        let items: Vec<Item> = said.into_iter().chain(items).collect();
        for item in &items {
            changes.note(ChangeKind::Recorded, item.id, item.kind);
        }
        insert_items(connection, namespace, items).await?;
        let spots = rows.spots(&facts, origin.happened);
        rows.insert(connection, namespace, origin.episode, grounds(&facts, origin.episode)).await?;

        let mut ended = Vec::new();
        for spot in &spots {
            ended.extend(settle(connection, spot, at).await?);
        }
        let ids: Vec<Uuid> = facts.iter().map(|(id, _)| *id).collect();
        ended.retain(|id| !ids.contains(id));
        ended.sort_unstable();
        ended.dedup();
        for id in &ended {
            changes.note(ChangeKind::Revised, *id, Kind::Fact);
        }
        // Those that rest on nothing but what was said hold.
        let resting: Vec<Uuid> = facts
            .iter()
            .filter(|(_, fact)| {
                !fact.derived_from.is_empty() || !fact.derived_from_facts.is_empty()
            })
            .map(|(id, _)| *id)
            .collect();
        let mut stale = note_staleness(connection, &ended, &resting, at, changes).await?.now_stale;
        stale.retain(|id| ids.contains(id));
        Ok(stale)
    }
}

/// Pairs of a fact and what it rests on, each once.
fn grounds(facts: &[(Uuid, NewFact)], episode: Option<Uuid>) -> Vec<(Uuid, Uuid)> {
    let mut grounds = Vec::new();
    for (id, fact) in facts {
        let of_request = fact.derived_from_facts.iter().filter_map(|place| facts.get(*place));
        let of_request = of_request.map(|(ground, _)| *ground);
        let all = fact.derived_from.iter().copied().chain(of_request).chain(episode);
        grounds.extend(all.map(|ground| (*id, ground)));
    }
    let mut known = HashSet::new();
    grounds.retain(|pair| known.insert(*pair));
    grounds
}

/// What those of `names` mean that no entity has to the letter. To be asked before others are kept
/// from writing: comparing names takes its time.
pub(super) async fn meant(
    connection: &mut PgConnection,
    namespace: &Namespace,
    names: Vec<&str>,
) -> Result<Meant, MemoryError> {
    let known = known(connection, namespace, &names).await?;
    let mut meant = Meant::new();
    for name in names {
        if !known.contains_key(name)
            && let Some(called) = resolved(connection, namespace, name).await?
        {
            meant.insert(name.to_owned(), called);
        }
    }
    Ok(meant)
}

/// The names in facts, each once.
pub(super) fn names<'f>(facts: impl IntoIterator<Item = &'f NewFact>) -> Vec<&'f str> {
    let mut names = Vec::new();
    for fact in facts {
        names.push(fact.subject.as_str());
        if fact.object_is_entity {
            names.push(&fact.object);
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

/// By name: the entity that has it, and whether that has no type.
async fn known(
    connection: &mut PgConnection,
    namespace: &Namespace,
    names: &[&str],
) -> Result<HashMap<String, (Uuid, bool)>, MemoryError> {
    let rows = sqlx::query(
        "SELECT given, entity_id, type = '' AS untyped
           FROM unnest($2::text[]) AS given
           JOIN names ON names.namespace = $1 AND called = lower(given)
           JOIN entities ON entities.namespace = $1 AND id = entity_id",
    )
    .bind(&namespace.0)
    .bind(names)
    .fetch_all(connection)
    .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, (row.try_get(1)?, row.try_get(2)?)))).collect()
}

/// What names stand for.
struct Entities {
    meant: Option<Meant>,
    known: HashMap<String, (Uuid, bool)>,
    /// Whether one was made: a name that follows may mean it.
    made: bool,
}

impl Entities {
    /// Those of the names in `facts` that are known.
    async fn of(
        connection: &mut PgConnection,
        namespace: &Namespace,
        meant: Option<Meant>,
        facts: &[(Uuid, NewFact)],
    ) -> Result<Self, MemoryError> {
        let mut names = names(facts.iter().map(|(_, fact)| fact));
        names.extend(meant.iter().flat_map(Meant::values).map(String::as_str));
        let known = known(connection, namespace, &names).await?;
        Ok(Self { meant, known, made: false })
    }

    /// The entity that a name stands for; made if there is none. It gets a type if it has none.
    async fn get(
        &mut self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        (name, kind): (&str, &str),
        at: DateTime<Utc>,
        changes: &mut Changes,
    ) -> Result<Uuid, MemoryError> {
        if let Some((id, untyped)) = self.known.get(name)
            && (kind.is_empty() || !untyped)
        {
            return Ok(*id);
        }
        let meant = self.meaning(connection, namespace, name).await?;
        let known = meant.as_ref().and_then(|called| self.known.get(called));
        let (id, untyped) = if let Some((id, _)) = known {
            (*id, false)
        } else {
            let name = meant.as_deref().unwrap_or(name);
            self.made = true;
            let id = found_or_made(connection, namespace, name, kind, at, changes).await?;
            (id, kind.is_empty())
        };
        self.known.insert(name.to_owned(), (id, untyped));
        Ok(id)
    }

    /// The known name that a name read out of a text means, if it is not known itself.
    async fn meaning(
        &self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        name: &str,
    ) -> Result<Option<String>, MemoryError> {
        let Some(meant) = &self.meant else { return Ok(None) };
        match meant.get(name) {
            _ if self.known.contains_key(name) => Ok(None),
            Some(called) if self.known.contains_key(called) => Ok(Some(called.clone())),
            _ if self.made => resolved(connection, namespace, name).await,
            _ => Ok(None),
        }
    }
}

/// Facts as columns.
#[derive(Default)]
struct Rows {
    ids: Vec<Uuid>,
    subjects: Vec<Uuid>,
    predicates: Vec<String>,
    objects: Vec<String>,
    object_ids: Vec<Option<Uuid>>,
    functional: Vec<bool>,
    stated_to: Vec<Option<DateTime<Utc>>>,
}

impl Rows {
    /// Of facts about `entities`.
    async fn new(
        connection: &mut PgConnection,
        namespace: &Namespace,
        facts: &[(Uuid, NewFact)],
        mut entities: Entities,
        at: DateTime<Utc>,
        changes: &mut Changes,
    ) -> Result<Self, MemoryError> {
        let mut rows = Self::default();
        for (id, fact) in facts {
            let subject = (fact.subject.as_str(), fact.subject_type.as_str());
            let subject = entities.get(connection, namespace, subject, at, changes).await?;
            let object = if fact.object_is_entity {
                let object = (fact.object.as_str(), fact.object_type.as_str());
                Some(entities.get(connection, namespace, object, at, changes).await?)
            } else {
                None
            };
            rows.ids.push(*id);
            rows.subjects.push(subject);
            rows.predicates.push(fact.predicate.clone());
            rows.objects.push(fact.object.clone());
            rows.object_ids.push(object);
            rows.functional.push(fact.functional);
            rows.stated_to.push(fact.valid_to);
        }
        Ok(rows)
    }

    /// Where they may end others, or be ended.
    fn spots(&self, facts: &[(Uuid, NewFact)], happened: DateTime<Utc>) -> Vec<Spot> {
        let spots = facts.iter().zip(&self.subjects).map(|((_, fact), subject)| {
            let from = fact.valid_from.unwrap_or(happened);
            Spot { subject: *subject, predicate: fact.predicate.clone(), from, to: from }
        });
        spots.collect()
    }

    /// Writes them, with what they rest on.
    async fn insert(
        self,
        connection: &mut PgConnection,
        namespace: &Namespace,
        episode: Option<Uuid>,
        grounds: Vec<(Uuid, Uuid)>,
    ) -> Result<(), MemoryError> {
        let (resting, on): (Vec<Uuid>, Vec<Uuid>) = grounds.iter().copied().unzip();
        // Rows of other namespaces are not seen.
        let linked = sqlx::query(
            "WITH told AS (
               INSERT INTO facts (namespace, episode_id, id, subject_id, predicate, object, object_id,
                                  functional, stated_to)
               SELECT $1, $2, * FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[],
                                            $7::uuid[], $8::boolean[], $9::timestamptz[]))
             INSERT INTO grounds (fact_id, ground_id, namespace)
             SELECT fact, ground, $1
               FROM unnest($10::uuid[], $11::uuid[]) AS pairs (fact, ground), LATERAL (
                 SELECT FROM items WHERE namespace = $1 AND id = ground AND kind IN (1, 2, 4)
                 OFFSET 0) AS item -- looked up one by one: a join might go through all items
             RETURNING fact_id, ground_id",
        )
        .bind(&namespace.0)
        .bind(episode)
        .bind(self.ids)
        .bind(self.subjects)
        .bind(self.predicates)
        .bind(self.objects)
        .bind(self.object_ids)
        .bind(self.functional)
        .bind(self.stated_to)
        .bind(resting)
        .bind(on)
        .fetch_all(connection)
        .await?;
        let linked: HashSet<(Uuid, Uuid)> = linked
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<_, MemoryError>>()?;
        match grounds.iter().find(|pair| !linked.contains(*pair)) {
            Some((_, missing)) => Err(MemoryError::NoItem {
                what: "episode, fact or section to derive from",
                id: missing.to_string(),
            }),
            None => Ok(()),
        }
    }
}
