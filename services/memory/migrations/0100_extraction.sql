-- Facts are extracted behind: an episode waits here until the rules have read it. Filled by the
-- statement that writes it, in its transaction, at the cost of one insert; a row goes in the
-- transaction that writes what was extracted, so that neither is without the other.
CREATE TABLE unextracted (
  namespace text NOT NULL,
  item_id uuid NOT NULL,
  PRIMARY KEY (namespace, item_id)
);

-- Episodes that wait for a model, when one is allowed. Apart, so that who writes pays for one index.
CREATE TABLE unasked (
  namespace text NOT NULL,
  item_id uuid NOT NULL,
  PRIMARY KEY (namespace, item_id)
);

CREATE FUNCTION note_unextracted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  INSERT INTO unextracted SELECT namespace, id FROM added WHERE kind = 1;
  RETURN NULL;
END $$;
CREATE TRIGGER items_unextracted AFTER INSERT ON items
  REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION note_unextracted();

-- A reference would be checked for each episode that is written.
CREATE FUNCTION forget_unextracted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  DELETE FROM unextracted USING removed
   WHERE unextracted.namespace = removed.namespace AND item_id = removed.id;
  DELETE FROM unasked USING removed
   WHERE unasked.namespace = removed.namespace AND item_id = removed.id;
  RETURN NULL;
END $$;
CREATE TRIGGER items_never_extracted AFTER DELETE ON items
  REFERENCING OLD TABLE AS removed FOR EACH STATEMENT EXECUTE FUNCTION forget_unextracted();

-- What extraction costs and brings, by the hour: its budgets are kept over restarts.
CREATE TABLE extraction_costs (
  namespace text NOT NULL,
  hour timestamptz NOT NULL,
  tier smallint NOT NULL,              -- 1 rules, 2 a model
  episodes bigint NOT NULL,
  facts bigint NOT NULL,
  refused bigint NOT NULL,             -- proposed, and not borne out by the text
  tokens bigint NOT NULL,
  micros bigint NOT NULL,
  PRIMARY KEY (namespace, hour, tier)
);

DO $$
DECLARE
  owned text;
BEGIN
  FOREACH owned IN ARRAY ARRAY['unextracted', 'unasked', 'extraction_costs'] LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I TO alina_memory_tenant', owned);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', owned);
    EXECUTE format('CREATE POLICY tenant ON %I TO alina_memory_tenant
      USING (namespace = current_setting(''alina.namespace'', true))', owned);
    EXECUTE format('CREATE POLICY service ON %I TO %I USING (true)', owned, current_user);
  END LOOP;
END $$;
