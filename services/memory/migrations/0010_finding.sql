-- What finding needs beside the words and the vectors of items.

-- Who is called what: "Maria Lopez" is called so and "Maria", "agent:planner" is called "planner".
CREATE TABLE actors (
  namespace text NOT NULL,
  actor text NOT NULL,
  called text NOT NULL,
  PRIMARY KEY (namespace, actor, called)
);
CREATE INDEX actors_called ON actors (namespace, lower(called));
CREATE INDEX actors_alike ON actors USING gin (lower(called) public.gin_trgm_ops);
CREATE INDEX entities_alike ON entities USING gin (lower(name) public.gin_trgm_ops);

-- In how many items of a namespace a word occurs; '' stands for all items. Rare words say more
-- about what is asked for than frequent ones, and are cheaper to look for. Counted in the
-- background, so that writers do not wait for each other.
CREATE TABLE terms (
  namespace text NOT NULL,
  lexeme text NOT NULL,
  items bigint NOT NULL,
  PRIMARY KEY (namespace, lexeme)
) WITH (fillfactor = 70);
CREATE INDEX terms_alike ON terms USING gin (lexeme public.gin_trgm_ops);

-- Items whose words are not counted yet.
CREATE TABLE uncounted (
  item_id uuid PRIMARY KEY
);

-- What was said before and after an episode; what happened in a span of time.
CREATE INDEX items_session ON items (namespace, session, valid_from, id)
  WHERE kind = 1 AND session <> '';
CREATE INDEX items_time ON items (namespace, valid_from) WHERE kind = 1;
CREATE INDEX items_actor ON items (namespace, actor, valid_from) WHERE kind = 1 AND actor <> '';
CREATE INDEX facts_episode ON facts (episode_id) WHERE episode_id IS NOT NULL;

CREATE FUNCTION note_items() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO uncounted SELECT id FROM added;
  INSERT INTO actors
    SELECT DISTINCT namespace, actor, called
      FROM (SELECT namespace, actor, regexp_replace(actor, '^.*:', '') AS name
              FROM added WHERE kind = 1 AND actor <> '') AS named,
           LATERAL (VALUES (name), (split_part(name, ' ', 1))) AS names (called)
     WHERE called <> ''
     ORDER BY namespace, actor, called
    ON CONFLICT DO NOTHING;
  RETURN NULL;
END $$;
CREATE TRIGGER items_noted AFTER INSERT ON items
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_items();

CREATE FUNCTION forget_terms() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM uncounted USING removed WHERE item_id = removed.id;
  RETURN NULL;
END $$;
CREATE TRIGGER items_uncounted AFTER DELETE ON items
  REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION forget_terms();

-- What was written before this migration.
INSERT INTO uncounted SELECT id FROM items;
INSERT INTO actors
  SELECT DISTINCT namespace, actor, called
    FROM (SELECT DISTINCT namespace, actor, regexp_replace(actor, '^.*:', '') AS name
            FROM items WHERE kind = 1 AND actor <> '') AS named,
         LATERAL (VALUES (name), (split_part(name, ' ', 1))) AS names (called)
   WHERE called <> '';
