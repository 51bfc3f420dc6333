//! Writes much at once, past the service.

use chrono::{DateTime, TimeDelta, Utc};
use pgvector::Vector;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use sqlx::{Connection, PgConnection, PgPool, Row};
use uuid::Uuid;

use crate::{
    NAMESPACE,
    text::{Text, World},
};

/// Rows of one statement.
const AT_ONCE: usize = 5_000;
/// Episodes that belong together.
const SESSION: usize = 20;
/// How much of a vector is its own.
const NOISE: f32 = 0.02;

/// Fills the store.
pub(crate) struct Filler {
    pool: PgPool,
    world: World,
    vectors: Vec<Vec<f32>>,
    /// Of people, by their place in the world.
    people: Vec<Uuid>,
    rng: StdRng,
    filled: usize,
    begun: DateTime<Utc>,
}

/// Rows of `items`.
#[derive(Default)]
struct Items {
    ids: Vec<Uuid>,
    texts: Vec<String>,
    actors: Vec<String>,
    sessions: Vec<String>,
    times: Vec<DateTime<Utc>>,
    vectors: Vec<Vector>,
}

impl Filler {
    pub(crate) async fn new(pool: PgPool, world: World, vectors: Vec<Vec<f32>>) -> Self {
        let begun = Utc::now() - TimeDelta::days(5 * 365);
        let rng = StdRng::seed_from_u64(3);
        let mut this = Self { pool, world, vectors, people: Vec::new(), rng, filled: 0, begun };
        if this.is_filled().await {
            return this;
        }
        for setting in ["max_wal_size = '4GB'", "checkpoint_timeout = '30min'"] {
            this.run(&format!("ALTER SYSTEM SET {setting}")).await;
        }
        this.run("SELECT pg_reload_conf()").await;
        this.run(&format!("INSERT INTO memory.namespaces VALUES ('{NAMESPACE}', 1)")).await;
        this.add_people().await;
        this
    }

    /// Whether an earlier run has filled it, as far as it did.
    async fn is_filled(&mut self) -> bool {
        let people = "SELECT id FROM memory.items WHERE kind = 3 ORDER BY array_position($1, text)";
        let people = sqlx::query_scalar(people).bind(&self.world.people).fetch_all(&self.pool);
        self.people = people.await.expect("PostgreSQL");
        let episodes = sqlx::query_scalar("SELECT count(*) FROM memory.items WHERE kind = 1");
        let episodes: i64 = episodes.fetch_one(&self.pool).await.expect("PostgreSQL");
        self.filled = usize::try_from(episodes).expect("a count");
        !self.people.is_empty()
    }

    async fn run(&self, sql: &str) {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql.to_owned())).execute(&self.pool).await.expect(sql);
    }

    /// A connection whose writes call no triggers.
    async fn bulk(&self) -> PgConnection {
        let options = self.pool.connect_options().as_ref().clone();
        let mut connection = PgConnection::connect_with(&options).await.expect("PostgreSQL");
        let settings = "SET session_replication_role = replica; SET search_path = memory, public;
             SET maintenance_work_mem = '6GB'; SET max_parallel_maintenance_workers = 2;
             SET synchronous_commit = off; SET work_mem = '1GB'";
        sqlx::raw_sql(settings).execute(&mut connection).await.expect("a superuser");
        connection
    }

    fn id(&mut self, at: DateTime<Utc>) -> Uuid {
        let millis = u128::from(at.timestamp_millis().unsigned_abs());
        let rest: u128 = self.rng.random::<u128>() >> 66;
        Uuid::from_u128(millis << 80 | 0x7 << 76 | 0x2 << 62 | rest)
    }

    fn vector(&mut self, text: &Text) -> Vector {
        let mut sum = vec![0.0_f32; self.vectors[0].len()];
        for word in text.words {
            sum.iter_mut().zip(&self.vectors[word]).for_each(|(sum, value)| *sum += value / 3.0);
        }
        sum.iter_mut().for_each(|value| *value += (self.rng.random::<f32>() - 0.5) * 2.0 * NOISE);
        let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
        sum.iter_mut().for_each(|value| *value /= length);
        Vector::from(sum)
    }

    async fn add_people(&mut self) {
        let mut items = Items::default();
        for name in self.world.people.clone() {
            let id = self.id(self.begun);
            items.add(id, name, String::new(), String::new(), self.begun);
        }
        let mut connection = self.bulk().await;
        items.write(&mut connection, 3).await;
        for sql in [
            "INSERT INTO entities (id, namespace, name, type)
             SELECT id, namespace, text, 'person' FROM items WHERE kind = 3",
            "INSERT INTO names SELECT namespace, lower(name), id FROM entities",
        ] {
            sqlx::raw_sql(sql).execute(&mut connection).await.expect(sql);
        }
        self.people = items.ids;
    }

    /// Until there are `size` episodes and as many facts; then makes the indexes.
    pub(crate) async fn fill(&mut self, size: usize) {
        if self.filled >= size {
            return;
        }
        let mut connection = self.bulk().await;
        sqlx::raw_sql("DROP INDEX items_text; DROP INDEX items_vector")
            .execute(&mut connection)
            .await
            .expect("the indexes are there");
        while self.filled < size {
            let count = AT_ONCE.min(size - self.filled);
            let episodes = self.episodes(count);
            episodes.write(&mut connection, 1).await;
            self.facts(&mut connection, &episodes).await;
            self.filled += count;
        }
        for sql in [
            "CREATE INDEX items_text ON items USING gin (tsv)",
            "CREATE INDEX items_vector ON items USING hnsw (embedding public.halfvec_cosine_ops)",
            "INSERT INTO actors SELECT DISTINCT namespace, actor, called
               FROM (SELECT DISTINCT namespace, actor FROM items WHERE kind = 1) AS said,
                    LATERAL (VALUES (actor), (split_part(actor, ' ', 1))) AS names (called)
               ON CONFLICT DO NOTHING",
            "TRUNCATE terms",
            "INSERT INTO terms SELECT (SELECT name FROM namespaces), word, ndoc
               FROM ts_stat('SELECT tsv FROM memory.items')",
            "INSERT INTO terms SELECT namespace, '', count(*) FROM items GROUP BY namespace",
            "UPDATE namespaces SET version = version + 1",
            "VACUUM ANALYZE",
            "CHECKPOINT",
        ] {
            sqlx::raw_sql(sql).execute(&mut connection).await.expect(sql);
        }
    }

    /// Over five years, whatever the size.
    fn time(&mut self, after: usize) -> DateTime<Utc> {
        let minutes = self.rng.random_range(0..5 * 365 * 24 * 60_i64);
        self.begun + TimeDelta::minutes(minutes) + TimeDelta::seconds(after as i64)
    }

    fn episodes(&mut self, count: usize) -> Items {
        let mut items = Items::default();
        let world = self.world.clone();
        let (mut session, mut at, mut pair) = (String::new(), self.begun, [0, 0]);
        for n in 0..count {
            if n % SESSION == 0 {
                session = format!("session-{}", self.filled + n);
                at = self.time(0);
                pair = [world.person(&mut self.rng), world.person(&mut self.rng)];
            }
            at += TimeDelta::seconds(self.rng.random_range(5..120));
            let text = world.episode(&mut self.rng);
            let vector = self.vector(&text);
            let (id, actor) = (self.id(at), world.people[pair[n % 2]].clone());
            items.add(id, text.text, actor, session.clone(), at);
            items.vectors.push(vector);
        }
        items
    }

    /// One fact learned from each of `episodes`.
    async fn facts(&mut self, connection: &mut PgConnection, episodes: &Items) {
        let world = self.world.clone();
        let mut items = Items::default();
        let (mut subjects, mut predicates, mut objects) = (Vec::new(), Vec::new(), Vec::new());
        for at in &episodes.times {
            let fact = world.fact(&mut self.rng);
            let vector = self.vector(&fact.text);
            let id = self.id(*at);
            items.add(id, fact.text.text, String::new(), String::new(), *at);
            items.vectors.push(vector);
            subjects.push(self.people[fact.subject]);
            predicates.push(fact.predicate);
            objects.push(fact.object);
        }
        items.write(connection, 2).await;
        sqlx::query(
            "WITH told AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[],
                                                $5::uuid[]) AS t (id, subject, predicate, object, episode)),
             stated AS (
               INSERT INTO facts (id, namespace, subject_id, predicate, object, episode_id, functional)
               SELECT id, $6, subject, predicate, object, episode, false FROM told)
             INSERT INTO grounds SELECT id, episode, $6 FROM told",
        )
        .bind(&items.ids)
        .bind(subjects)
        .bind(predicates)
        .bind(objects)
        .bind(&episodes.ids)
        .bind(NAMESPACE)
        .execute(connection)
        .await
        .expect("facts");
    }

    /// What the database takes.
    pub(crate) async fn bytes(&self) -> i64 {
        let sql = sqlx::query("SELECT pg_database_size(current_database())");
        sql.fetch_one(&self.pool).await.expect("PostgreSQL").get(0)
    }
}

impl Items {
    fn add(&mut self, id: Uuid, text: String, actor: String, session: String, at: DateTime<Utc>) {
        self.ids.push(id);
        self.texts.push(text);
        self.actors.push(actor);
        self.sessions.push(session);
        self.times.push(at);
    }

    async fn write(&self, connection: &mut PgConnection, kind: i16) {
        let vectors: Vec<Option<&Vector>> =
            (0..self.ids.len()).map(|n| self.vectors.get(n)).collect();
        sqlx::query(
            "INSERT INTO items (id, namespace, kind, text, actor, session, valid_from, recorded_at,
                                embedding, embedding_refused, source)
             SELECT id, $1, $2, text, actor, session, at, at, vector, vector IS NULL, ''
               FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::timestamptz[],
                           $8::vector[]) AS t (id, text, actor, session, at, vector)",
        )
        .bind(NAMESPACE)
        .bind(kind)
        .bind(&self.ids)
        .bind(&self.texts)
        .bind(&self.actors)
        .bind(&self.sessions)
        .bind(&self.times)
        .bind(vectors)
        .execute(connection)
        .await
        .expect("items");
    }
}
