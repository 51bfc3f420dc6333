-- What was believed, and since when; what rests on what; what changed.

-- An item's row holds what is believed now. When that changes, what was believed before becomes a
-- version: together they tell what was known at any time.
ALTER TABLE items
  ADD COLUMN revised_at timestamptz,           -- since when this is believed, if not recorded_at
  ADD COLUMN reason text NOT NULL DEFAULT '';  -- why it was taken back

CREATE TABLE versions (
  item_id uuid NOT NULL REFERENCES items ON DELETE CASCADE,
  namespace text NOT NULL,
  valid_from timestamptz NOT NULL,
  valid_to timestamptz,
  since timestamptz NOT NULL,                  -- believed from then …
  until timestamptz NOT NULL,                  -- … to before then
  reason text NOT NULL DEFAULT '',             -- why it was taken back, if it was
  PRIMARY KEY (item_id, since),
  CHECK (since < until)
);

-- Everything that was ever believed. The rights are those of who asks.
CREATE VIEW histories WITH (security_invoker = true) AS
  SELECT id AS item_id, namespace, valid_from, valid_to,
         coalesce(revised_at, recorded_at) AS since, coalesce(retracted_at, 'infinity') AS until,
         reason
    FROM items
  UNION ALL
  SELECT item_id, namespace, valid_from, valid_to, since, until, reason FROM versions;

ALTER TABLE facts
  ADD COLUMN stated_to timestamptz,            -- the end that was stated; others may end it earlier
  ADD COLUMN stale_since timestamptz;          -- noted so then; whether it is follows from its grounds
UPDATE facts SET stated_to = valid_to
  FROM items
 WHERE items.id = facts.id
   AND NOT EXISTS (SELECT FROM facts AS other JOIN items AS next ON next.id = other.id
                    WHERE other.subject_id = facts.subject_id AND other.predicate = facts.predicate
                      AND other.functional AND next.valid_from = items.valid_to);

ALTER TABLE entities ADD COLUMN type text NOT NULL DEFAULT '';

-- Names and aliases, in lower case: each stands for one entity.
CREATE TABLE names (
  namespace text NOT NULL,
  called text NOT NULL,
  entity_id uuid NOT NULL REFERENCES entities ON DELETE CASCADE,
  PRIMARY KEY (namespace, called)
);
CREATE INDEX names_entity ON names (entity_id);
INSERT INTO names SELECT namespace, lower(name), id FROM entities;
INSERT INTO names SELECT namespace, lower(alias), id FROM entities, unnest(aliases) AS alias
  ON CONFLICT DO NOTHING;

-- What a fact rests on: all of it is needed.
CREATE TABLE grounds (
  fact_id uuid NOT NULL REFERENCES facts ON DELETE CASCADE,
  ground_id uuid NOT NULL REFERENCES items ON DELETE CASCADE,
  namespace text NOT NULL,
  PRIMARY KEY (fact_id, ground_id),
  CHECK (fact_id <> ground_id)
);
CREATE INDEX grounds_above ON grounds (ground_id);
INSERT INTO grounds SELECT id, episode_id, namespace FROM facts WHERE episode_id IS NOT NULL;

-- When validities begin and end: answers of now change then.
CREATE INDEX items_begin ON items (namespace, valid_from) WHERE kind = 2;
CREATE INDEX items_end ON items (namespace, valid_to) WHERE kind = 2 AND valid_to IS NOT NULL;

-- Whether an item was believed at `known` and, being a fact, true at `at`.
CREATE FUNCTION held(item uuid, at timestamptz, known timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$
  SELECT EXISTS (
    SELECT FROM histories h JOIN items i ON i.id = h.item_id
     WHERE h.item_id = item AND h.since <= known AND h.until > known
       AND (i.kind <> 2 OR (h.valid_from <= at AND (h.valid_to IS NULL OR h.valid_to > at))))
$$;

-- Whether something that a fact rests on did not hold.
CREATE FUNCTION stale(fact uuid, at timestamptz, known timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$
  WITH RECURSIVE below (ground_id) AS (
    SELECT ground_id FROM grounds WHERE fact_id = fact
    UNION SELECT g.ground_id FROM below JOIN grounds g ON g.fact_id = below.ground_id)
  SELECT EXISTS (SELECT FROM below WHERE NOT held(ground_id, at, known))
$$;

-- What changed, numbered without gaps by namespace: a number is given while the namespace's row is
-- locked, so that nobody sees a later one first.
ALTER TABLE namespaces ADD COLUMN last_change bigint NOT NULL DEFAULT 0;
CREATE TABLE changes (
  namespace text NOT NULL,
  sequence bigint NOT NULL,
  at timestamptz NOT NULL,
  kind smallint NOT NULL,
  item_id uuid NOT NULL,                       -- which may be deleted since
  item_kind smallint NOT NULL,
  PRIMARY KEY (namespace, sequence)
);
CREATE INDEX changes_at ON changes (at);
