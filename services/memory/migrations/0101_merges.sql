-- Entities that turned out to be one. Nothing is written anew: a row says that `from_id` stands for the
-- same as `into_id` from then on, until it is undone. Facts keep the entity they were written about,
-- names theirs; reads take those that are merged together. So undoing is forgetting the row's effect,
-- and what was known before is what it was before.
CREATE TABLE merges (
  namespace text NOT NULL,
  id uuid NOT NULL,
  from_id uuid NOT NULL,
  into_id uuid NOT NULL,
  merged_at timestamptz NOT NULL,
  undone_at timestamptz,
  PRIMARY KEY (namespace, id),
  FOREIGN KEY (namespace, from_id) REFERENCES entities (namespace, id) ON DELETE CASCADE,
  FOREIGN KEY (namespace, into_id) REFERENCES entities (namespace, id) ON DELETE CASCADE,
  CHECK (from_id <> into_id),
  CHECK (undone_at IS NULL OR undone_at >= merged_at)
);
CREATE UNIQUE INDEX merges_current ON merges (namespace, from_id) WHERE undone_at IS NULL;
CREATE INDEX merges_from ON merges (namespace, from_id);
CREATE INDEX merges_into ON merges (namespace, into_id);

-- What an entity stands for now: itself, or what it is merged into at last.
CREATE FUNCTION root_of(space text, entity uuid) RETURNS uuid LANGUAGE sql STABLE AS $$
  WITH RECURSIVE up (id, hops) AS (
    SELECT entity, 0
    UNION ALL SELECT m.into_id, hops + 1 FROM up JOIN merges m
      ON m.namespace = space AND m.from_id = up.id AND m.undone_at IS NULL
     WHERE hops < 1000)
  SELECT id FROM up ORDER BY hops DESC LIMIT 1
$$;

-- All entities that stand for the same as one now, itself among them.
CREATE FUNCTION same_as(space text, entity uuid) RETURNS SETOF uuid LANGUAGE sql STABLE ROWS 2 AS $$
  WITH RECURSIVE alike (id) AS (
    SELECT entity
    UNION SELECT CASE WHEN m.from_id = alike.id THEN m.into_id ELSE m.from_id END
      FROM alike JOIN merges m ON m.namespace = space AND m.undone_at IS NULL
       AND (m.from_id = alike.id OR m.into_id = alike.id))
  SELECT id FROM alike
$$;

-- Entities that are new: whether others are called alike is looked for in the background.
CREATE TABLE unresolved (
  namespace text NOT NULL,
  entity_id uuid NOT NULL,
  PRIMARY KEY (namespace, entity_id),
  FOREIGN KEY (namespace, entity_id) REFERENCES entities (namespace, id) ON DELETE CASCADE
);
INSERT INTO unresolved SELECT namespace, id FROM entities;

-- Pairs that may be one.
CREATE TABLE merge_suggestions (
  namespace text NOT NULL,
  one_id uuid NOT NULL,
  other_id uuid NOT NULL,
  trigram real NOT NULL,               -- how alike the names are, from 0 to 1
  meaning real NOT NULL,               -- the cosine of the names' vectors; 0 when there are none
  part boolean NOT NULL,               -- whether one name is a part of the other
  found_at timestamptz NOT NULL,
  PRIMARY KEY (namespace, one_id, other_id),
  FOREIGN KEY (namespace, one_id) REFERENCES entities (namespace, id) ON DELETE CASCADE,
  FOREIGN KEY (namespace, other_id) REFERENCES entities (namespace, id) ON DELETE CASCADE,
  CHECK (one_id < other_id)
);
CREATE INDEX merge_suggestions_other ON merge_suggestions (namespace, other_id);
CREATE INDEX names_alike ON names USING gin (called public.gin_trgm_ops);

DO $$
DECLARE
  owned text;
BEGIN
  FOREACH owned IN ARRAY ARRAY['merges', 'unresolved', 'merge_suggestions'] LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO alina_memory_tenant', owned);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', owned);
    EXECUTE format('CREATE POLICY tenant ON %I TO alina_memory_tenant
      USING (namespace = current_setting(''alina.namespace'', true))', owned);
    EXECUTE format('CREATE POLICY service ON %I TO %I USING (true)', owned, current_user);
  END LOOP;
END $$;
