//! Ways from entity to entity by facts.

use std::collections::{HashMap, HashSet};

use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::{
    Store,
    entities::described,
    facts::{KnownFact, known_facts},
    groups::Groups,
};
use crate::{
    error::MemoryError,
    knowledge::{Namespace, belief::View},
};

/// A way is looked for among at most so many entities.
const MOST_VISITED: usize = 20_000;
/// So many facts are gone along at once when a way is looked for.
const MOST_AT_ONCE: i64 = 50_000;

/// How far to go, and along what.
#[derive(Debug, Clone)]
pub struct Walk {
    /// Facts in a row.
    pub hops: u32,
    /// Facts in all.
    pub limit: usize,
    /// Only with these predicates; empty for all.
    pub predicates: Vec<String>,
}

/// An entity on the way.
#[derive(Debug, Clone)]
pub struct Near {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: String,
    /// How far from where the way began.
    pub hops: u32,
}

/// What is around an entity.
#[derive(Debug)]
pub struct Graph {
    /// The nearest first.
    pub entities: Vec<Near>,
    /// That lead to them.
    pub facts: Vec<KnownFact>,
    /// Whether there are more.
    pub truncated: bool,
}

/// A shortest way.
#[derive(Debug, Default)]
pub struct Route {
    /// Whether there is one.
    pub found: bool,
    /// One more than facts.
    pub entities: Vec<Near>,
    /// Along the way.
    pub facts: Vec<KnownFact>,
    /// Whether the search was given up.
    pub truncated: bool,
}

/// A fact between two entities.
#[derive(Debug, Clone, Copy)]
struct Edge {
    fact: Uuid,
    ends: [Uuid; 2],
}

impl Edge {
    /// Where it leads from `here`.
    fn across(&self, here: Uuid) -> Uuid {
        if self.ends[0] == here { self.ends[1] } else { self.ends[0] }
    }
}

impl Store {
    /// What is linked to an entity by facts that hold in the view, hop by hop.
    pub async fn neighbors(
        &self,
        namespace: &Namespace,
        entity: &str,
        walk: &Walk,
        view: &View,
    ) -> Result<Graph, MemoryError> {
        let mut transaction = self.read(namespace).await?;
        let groups = Groups::known_at(&mut transaction, namespace, view.known()).await?;
        let start = described(&mut transaction, namespace, entity, &groups).await?.id;
        let mut reached = vec![(start, 0)];
        let mut seen = HashSet::from([start]);
        let mut facts: Vec<Uuid> = Vec::new();
        let mut frontier = vec![start];
        let mut truncated = false;
        for hops in 1..=walk.hops {
            let room = walk.limit - facts.len();
            let limit = i64::try_from(room + 1).unwrap_or(i64::MAX);
            let mut edges =
                edges(&mut transaction, &groups, &frontier, &facts, &walk.predicates, view, limit)
                    .await?;
            truncated = edges.len() > room;
            edges.truncate(room);
            frontier.clear();
            for edge in edges {
                facts.push(edge.fact);
                for end in edge.ends {
                    if seen.insert(end) {
                        reached.push((end, hops));
                        frontier.push(end);
                    }
                }
            }
            if truncated || frontier.is_empty() {
                break;
            }
        }
        Ok(Graph {
            entities: named(&mut transaction, &reached).await?,
            facts: known_facts(&mut transaction, &groups, &facts, view).await?,
            truncated,
        })
    }

    /// A shortest way between two entities by facts that hold in the view.
    pub async fn path(
        &self,
        namespace: &Namespace,
        (from, to): (&str, &str),
        most_hops: u32,
        view: &View,
    ) -> Result<Route, MemoryError> {
        let mut transaction = self.read(namespace).await?;
        let groups = Groups::known_at(&mut transaction, namespace, view.known()).await?;
        let from = described(&mut transaction, namespace, from, &groups).await?.id;
        let to = described(&mut transaction, namespace, to, &groups).await?.id;
        // From both ends: a way of 6 hops is two of 3, which visit far fewer entities.
        let (mut near, mut far) = (Side::new(from), Side::new(to));
        let mut meeting = (from == to).then_some(from);
        for _ in 0..most_hops {
            if meeting.is_some() || near.frontier.is_empty() || far.frontier.is_empty() {
                break;
            }
            let (side, other) = if near.frontier.len() <= far.frontier.len() {
                (&mut near, &far)
            } else {
                (&mut far, &near)
            };
            let all = side.grow(&mut transaction, &groups, view).await?;
            meeting = side.frontier.iter().find(|id| other.came_by.contains_key(id)).copied();
            // A way that is found is a shortest one still: all that was nearer was seen.
            if !all && meeting.is_none() {
                return Ok(Route { truncated: true, ..Route::default() });
            }
        }
        let Some(meeting) = meeting else { return Ok(Route::default()) };
        let (mut entities, mut facts) = near.back_from(meeting);
        entities.reverse();
        facts.reverse();
        entities.push(meeting);
        let (onward, by) = far.back_from(meeting);
        entities.extend(onward);
        facts.extend(by);
        let reached: Vec<(Uuid, u32)> = entities.into_iter().zip(0..).collect();
        Ok(Route {
            found: true,
            entities: named(&mut transaction, &reached).await?,
            facts: known_facts(&mut transaction, &groups, &facts, view).await?,
            truncated: false,
        })
    }
}

/// What was reached from one end of a way.
struct Side {
    /// By which fact each entity was reached; by none the end itself.
    came_by: HashMap<Uuid, Option<Edge>>,
    /// Reached last.
    frontier: Vec<Uuid>,
}

impl Side {
    fn new(end: Uuid) -> Self {
        Self { came_by: HashMap::from([(end, None)]), frontier: vec![end] }
    }

    /// Goes one hop on; tells whether that was all of it.
    async fn grow(
        &mut self,
        connection: &mut PgConnection,
        groups: &Groups,
        view: &View,
    ) -> Result<bool, MemoryError> {
        let found = edges(connection, groups, &self.frontier, &[], &[], view, MOST_AT_ONCE).await?;
        let all = (found.len() as i64) < MOST_AT_ONCE;
        self.frontier.clear();
        let known: HashSet<Uuid> = self.came_by.keys().copied().collect();
        for edge in found {
            for end in edge.ends {
                if known.contains(&edge.across(end)) && !self.came_by.contains_key(&end) {
                    self.came_by.insert(end, Some(edge));
                    self.frontier.push(end);
                }
            }
        }
        Ok(all && self.came_by.len() <= MOST_VISITED)
    }

    /// The entities before `id`, back to the end, and the facts between.
    fn back_from(&self, id: Uuid) -> (Vec<Uuid>, Vec<Uuid>) {
        let (mut entities, mut facts) = (Vec::new(), Vec::new());
        let mut at = id;
        while let Some(Some(edge)) = self.came_by.get(&at) {
            at = edge.across(at);
            entities.push(at);
            facts.push(edge.fact);
        }
        (entities, facts)
    }
}

/// Facts between entities that hold in the view and begin or end at one of `frontier`, newest first;
/// without those `gone` along already.
async fn edges(
    connection: &mut PgConnection,
    groups: &Groups,
    frontier: &[Uuid],
    gone: &[Uuid],
    predicates: &[String],
    view: &View,
    limit: i64,
) -> Result<Vec<Edge>, MemoryError> {
    let rows = sqlx::query(
        "SELECT f.id, subject_id, object_id
           FROM (SELECT * FROM facts WHERE subject_id = ANY($1)
                 UNION SELECT * FROM facts WHERE object_id = ANY($1)) AS f,
                LATERAL (SELECT valid_from FROM histories
                          WHERE item_id = f.id AND since <= $2 AND until > $2
                            AND valid_from <= $3 AND (valid_to IS NULL OR valid_to > $3)) AS h
          WHERE object_id IS NOT NULL AND f.id <> ALL($4)
            AND (cardinality($5::text[]) = 0 OR predicate = ANY($5))
            AND ($6 OR NOT stale(f.id, $3, $2))
          ORDER BY valid_from DESC, f.id DESC LIMIT $7",
    )
    .bind(groups.members(frontier))
    .bind(view.known())
    .bind(view.as_of)
    .bind(gone)
    .bind(predicates)
    .bind(view.include_stale)
    .bind(limit)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let ends = [row.try_get("subject_id")?, row.try_get("object_id")?];
            Ok(Edge { fact: row.try_get("id")?, ends: ends.map(|end| groups.root(end)) })
        })
        // Between two that are one nothing leads anywhere.
        .filter(|edge| edge.as_ref().map_or(true, |edge| edge.ends[0] != edge.ends[1]))
        .collect()
}

/// Entities with their names, in that order.
async fn named(
    connection: &mut PgConnection,
    reached: &[(Uuid, u32)],
) -> Result<Vec<Near>, MemoryError> {
    let ids: Vec<Uuid> = reached.iter().map(|(id, _)| *id).collect();
    let rows = sqlx::query("SELECT id, name, type FROM entities WHERE id = ANY($1)")
        .bind(&ids)
        .fetch_all(connection)
        .await?;
    let mut known = HashMap::with_capacity(rows.len());
    for row in &rows {
        let id: Uuid = row.try_get("id")?;
        let (name, kind): (String, String) = (row.try_get("name")?, row.try_get("type")?);
        known.insert(id, (name, kind));
    }
    let near = reached.iter().filter_map(|(id, hops)| {
        let (name, kind) = known.get(id).cloned()?;
        Some(Near { id: *id, name, kind, hops: *hops })
    });
    Ok(near.collect())
}
