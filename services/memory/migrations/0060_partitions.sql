-- What grows with what is remembered is split by the hash of the namespace: the indexes of one part
-- hold the items of few namespaces, a part can be vacuumed, reindexed or moved by itself, and the
-- namespace is the key by which an engine over several machines would distribute the tables.
DROP VIEW histories;

DO $$
DECLARE
  split constant text[] := ARRAY['items', 'versions', 'entities', 'names', 'facts', 'grounds', 'actions',
    'changes', 'idempotency_keys', 'actors', 'terms'];
  parts constant integer := 8;
  whole text;
  columns text;
BEGIN
  FOREACH whole IN ARRAY split LOOP
    EXECUTE format('ALTER TABLE %I RENAME TO %I', whole, whole || '_whole');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS
      INCLUDING GENERATED INCLUDING IDENTITY INCLUDING STORAGE) PARTITION BY HASH (namespace)',
      whole, whole || '_whole');
    FOR part IN 0 .. parts - 1 LOOP
      EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS %s, REMAINDER %s)',
        whole || '_' || part, whole, parts, part);
      -- Nobody reads a part by itself but the service's own role.
      EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', whole || '_' || part);
      EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', whole || '_' || part);
      EXECUTE format('CREATE POLICY service ON %I TO %I USING (true)', whole || '_' || part,
        current_user);
    END LOOP;
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO columns
      FROM pg_attribute
     WHERE attrelid = (whole || '_whole')::regclass AND attnum > 0 AND NOT attisdropped
       AND attgenerated = '';
    EXECUTE format('INSERT INTO %I (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %I', whole, columns,
      columns, whole || '_whole');
  END LOOP;
  -- Numbers of actions go on.
  PERFORM setval(pg_get_serial_sequence('actions', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM actions),
                 false);
  FOREACH whole IN ARRAY split LOOP
    EXECUTE format('DROP TABLE %I CASCADE', whole || '_whole');
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO alina_memory_tenant', whole);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', whole);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', whole);
    EXECUTE format('CREATE POLICY tenant ON %I TO alina_memory_tenant
      USING (namespace = current_setting(''alina.namespace'', true))', whole);
    EXECUTE format('CREATE POLICY service ON %I TO %I USING (true)', whole, current_user);
  END LOOP;
  EXECUTE format('GRANT USAGE ON SEQUENCE %s TO alina_memory_tenant',
                 pg_get_serial_sequence('actions', 'id'));
END $$;

ALTER TABLE items ADD PRIMARY KEY (namespace, id);
CREATE INDEX items_text ON items USING gin (tsv);
CREATE INDEX items_vector ON items USING hnsw (embedding public.halfvec_cosine_ops);
CREATE INDEX items_recent ON items (namespace, recorded_at DESC);
CREATE INDEX items_without_vector ON items (recorded_at)
  WHERE embedding IS NULL AND NOT embedding_refused;
CREATE INDEX items_begin ON items (namespace, valid_from) WHERE kind = 2;
CREATE INDEX items_end ON items (namespace, valid_to) WHERE kind = 2 AND valid_to IS NOT NULL;
CREATE INDEX items_session ON items (namespace, session, valid_from, id)
  WHERE kind = 1 AND session <> '';
CREATE INDEX items_time ON items (namespace, valid_from) WHERE kind = 1;
CREATE INDEX items_actor ON items (namespace, actor, valid_from) WHERE kind = 1 AND actor <> '';

ALTER TABLE versions ADD PRIMARY KEY (namespace, item_id, since);
ALTER TABLE entities ADD PRIMARY KEY (namespace, id);
CREATE UNIQUE INDEX entities_name ON entities (namespace, lower(name));
CREATE INDEX entities_alike ON entities USING gin (lower(name) public.gin_trgm_ops);
ALTER TABLE names ADD PRIMARY KEY (namespace, called);
CREATE INDEX names_entity ON names (entity_id);
ALTER TABLE facts ADD PRIMARY KEY (namespace, id);
CREATE INDEX facts_subject ON facts (subject_id, predicate);
CREATE INDEX facts_object ON facts (object_id) WHERE object_id IS NOT NULL;
CREATE INDEX facts_episode ON facts (episode_id) WHERE episode_id IS NOT NULL;
ALTER TABLE grounds ADD PRIMARY KEY (namespace, fact_id, ground_id);
CREATE INDEX grounds_above ON grounds (ground_id);
ALTER TABLE actions ADD PRIMARY KEY (namespace, id);
CREATE INDEX actions_run ON actions (namespace, run_id, id);
CREATE UNIQUE INDEX actions_position ON actions (namespace, position);
CREATE INDEX actions_actor ON actions (namespace, actor);
ALTER TABLE changes ADD PRIMARY KEY (namespace, sequence);
CREATE INDEX changes_at ON changes (at);
ALTER TABLE idempotency_keys ADD PRIMARY KEY (namespace, key);
ALTER TABLE actors ADD PRIMARY KEY (namespace, actor, called);
CREATE INDEX actors_called ON actors (namespace, lower(called));
CREATE INDEX actors_alike ON actors USING gin (lower(called) public.gin_trgm_ops);
ALTER TABLE terms ADD PRIMARY KEY (namespace, lexeme);
CREATE INDEX terms_alike ON terms USING gin (lexeme public.gin_trgm_ops);

ALTER TABLE versions
  ADD FOREIGN KEY (namespace, item_id) REFERENCES items (namespace, id) ON DELETE CASCADE;
ALTER TABLE entities
  ADD FOREIGN KEY (namespace, id) REFERENCES items (namespace, id) ON DELETE CASCADE;
ALTER TABLE names
  ADD FOREIGN KEY (namespace, entity_id) REFERENCES entities (namespace, id) ON DELETE CASCADE;
ALTER TABLE facts
  ADD FOREIGN KEY (namespace, id) REFERENCES items (namespace, id) ON DELETE CASCADE,
  ADD FOREIGN KEY (namespace, subject_id) REFERENCES entities (namespace, id),
  ADD FOREIGN KEY (namespace, object_id) REFERENCES entities (namespace, id),
  ADD FOREIGN KEY (namespace, episode_id) REFERENCES items (namespace, id);
ALTER TABLE grounds
  ADD FOREIGN KEY (namespace, fact_id) REFERENCES facts (namespace, id) ON DELETE CASCADE,
  ADD FOREIGN KEY (namespace, ground_id) REFERENCES items (namespace, id) ON DELETE CASCADE;
ALTER TABLE sections
  ADD FOREIGN KEY (namespace, id) REFERENCES items (namespace, id) ON DELETE CASCADE;

-- Everything that was ever believed. The rights are those of who asks.
CREATE VIEW histories WITH (security_invoker = true) AS
  SELECT id AS item_id, namespace, valid_from, valid_to,
         coalesce(revised_at, recorded_at) AS since, coalesce(retracted_at, 'infinity') AS until,
         reason
    FROM items
  UNION ALL
  SELECT item_id, namespace, valid_from, valid_to, since, until, reason FROM versions;
GRANT SELECT ON histories TO alina_memory_tenant;

-- `held` and `stale` for whoever is no tenant: only the namespace's part is looked at.
CREATE FUNCTION held(whose text, item uuid, at timestamptz, known timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM histories h JOIN items i ON i.namespace = whose AND i.id = h.item_id
     WHERE h.namespace = whose AND h.item_id = item AND h.since <= known AND h.until > known
       AND (i.kind <> 2 OR (h.valid_from <= at AND (h.valid_to IS NULL OR h.valid_to > at))))
$$;
CREATE FUNCTION stale(whose text, fact uuid, at timestamptz, known timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$
  WITH RECURSIVE below (ground_id) AS (
    SELECT ground_id FROM grounds WHERE namespace = whose AND fact_id = fact
    UNION SELECT g.ground_id FROM below
      JOIN grounds g ON g.namespace = whose AND g.fact_id = below.ground_id)
  SELECT EXISTS (SELECT FROM below WHERE NOT held(whose, ground_id, at, known))
$$;

CREATE TRIGGER actions_append_only BEFORE UPDATE OR DELETE ON actions
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER actions_kept BEFORE TRUNCATE ON actions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Items whose words are not counted yet, with their namespace.
DROP TABLE uncounted;
CREATE TABLE uncounted (
  namespace text NOT NULL,
  item_id uuid NOT NULL,
  PRIMARY KEY (namespace, item_id)
);
GRANT SELECT, INSERT, UPDATE, DELETE ON uncounted TO alina_memory_tenant;
ALTER TABLE uncounted ENABLE ROW LEVEL SECURITY;
ALTER TABLE uncounted FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON uncounted TO alina_memory_tenant
  USING (namespace = current_setting('alina.namespace', true));
DO $$ BEGIN
  EXECUTE format('CREATE POLICY service ON uncounted TO %I USING (true)', current_user);
END $$;
-- They are counted anew.
TRUNCATE terms;
INSERT INTO uncounted SELECT namespace, id FROM items;

CREATE OR REPLACE FUNCTION note_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO uncounted SELECT namespace, id FROM added;
  INSERT INTO actors
    SELECT DISTINCT namespace, actor, called
      FROM (SELECT namespace, actor, regexp_replace(actor, '^.*:', '') AS name
              FROM (SELECT DISTINCT namespace, actor FROM added WHERE kind = 1 AND actor <> '')
                     AS speaking) AS named,
           LATERAL (VALUES (name), (split_part(name, ' ', 1))) AS names (called)
     WHERE called <> ''
     ORDER BY namespace, actor, called
    ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER items_noted AFTER INSERT ON items
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_items();
CREATE OR REPLACE FUNCTION forget_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM uncounted USING removed
   WHERE uncounted.namespace = removed.namespace AND item_id = removed.id;
  RETURN NULL;
END $$;
CREATE TRIGGER items_uncounted AFTER DELETE ON items
  REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION forget_terms();
