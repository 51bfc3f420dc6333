-- Everything that can be found is an item; what kind of thing it is stands in a table of its own.
CREATE EXTENSION IF NOT EXISTS vector SCHEMA public;
CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public;

-- A search in one namespace goes on through the index until it has enough of it.
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET hnsw.iterative_scan = strict_order', current_database());
END $$;

-- The version moves with every write, in the same transaction: caches are keyed by it.
CREATE TABLE namespaces (
  name text PRIMARY KEY,
  version bigint NOT NULL
);

CREATE TABLE items (
  id uuid PRIMARY KEY,
  namespace text NOT NULL,
  kind smallint NOT NULL,              -- 1 episode, 2 fact, 3 entity, 4 section
  text text NOT NULL,
  source text NOT NULL DEFAULT '',
  actor text NOT NULL DEFAULT '',
  session text NOT NULL DEFAULT '',
  valid_from timestamptz NOT NULL,     -- when it happened or became true
  valid_to timestamptz,                -- when it ceased to be true
  recorded_at timestamptz NOT NULL,    -- when it was written down
  retracted_at timestamptz,            -- when it was taken back
  embedding vector(384),
  embedding_refused boolean NOT NULL DEFAULT false,
  tsv tsvector GENERATED ALWAYS AS (to_tsvector('english', text)) STORED,
  CHECK (valid_to IS NULL OR valid_to >= valid_from)
);
CREATE INDEX items_text ON items USING gin (tsv);
CREATE INDEX items_vector ON items USING hnsw (embedding vector_cosine_ops);
CREATE INDEX items_recent ON items (namespace, recorded_at DESC);
CREATE INDEX items_without_vector ON items (recorded_at)
  WHERE embedding IS NULL AND NOT embedding_refused;

CREATE TABLE entities (
  id uuid PRIMARY KEY REFERENCES items ON DELETE CASCADE,
  namespace text NOT NULL,
  name text NOT NULL,
  aliases text[] NOT NULL DEFAULT '{}'
);
CREATE UNIQUE INDEX entities_name ON entities (namespace, lower(name));

CREATE TABLE facts (
  id uuid PRIMARY KEY REFERENCES items ON DELETE CASCADE,
  namespace text NOT NULL,
  subject_id uuid NOT NULL REFERENCES entities,
  predicate text NOT NULL,
  object text NOT NULL,
  object_id uuid REFERENCES entities,
  episode_id uuid REFERENCES items,
  functional boolean NOT NULL
);
CREATE INDEX facts_subject ON facts (subject_id, predicate);
CREATE INDEX facts_object ON facts (object_id) WHERE object_id IS NOT NULL;

CREATE TABLE documents (
  namespace text NOT NULL,
  path text NOT NULL,
  content text NOT NULL,
  imported_at timestamptz NOT NULL,
  PRIMARY KEY (namespace, path)
);

CREATE TABLE sections (
  id uuid PRIMARY KEY REFERENCES items ON DELETE CASCADE,
  namespace text NOT NULL,
  path text NOT NULL,
  position integer NOT NULL,
  heading text NOT NULL,
  FOREIGN KEY (namespace, path) REFERENCES documents ON DELETE CASCADE
);
CREATE INDEX sections_document ON sections (namespace, path);

CREATE TABLE actions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  namespace text NOT NULL,
  at timestamptz NOT NULL,
  actor text NOT NULL,
  action text NOT NULL,
  summary text NOT NULL,
  details jsonb,
  run_id text NOT NULL
);
CREATE INDEX actions_run ON actions (namespace, run_id, id);

-- The log is only ever added to.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'the log of actions is append-only';
END $$;
CREATE TRIGGER actions_append_only BEFORE UPDATE OR DELETE ON actions
  FOR EACH ROW EXECUTE FUNCTION refuse_change();

CREATE TABLE idempotency_keys (
  namespace text NOT NULL,
  key text NOT NULL,
  content bytea NOT NULL,              -- SHA-256 of the request
  answer jsonb NOT NULL,
  recorded_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (namespace, key)
);
