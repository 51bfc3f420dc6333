-- The log as a chain of hashes. Numbers are 8 bytes, big-endian; a field is its length in bytes and
-- its UTF-8.
--   digest = SHA-256(salt, namespace, position, at in microseconds, actor, action, summary, details,
--                    run_id), with the salt as it is and everything else as a field or a number
--   hash   = SHA-256(hash before, or 32 zeros; digest)
CREATE TABLE chains (
  namespace text PRIMARY KEY,
  length bigint NOT NULL,
  head bytea NOT NULL
);

DROP TRIGGER actions_append_only ON actions;
ALTER TABLE actions
  ALTER COLUMN details TYPE text USING coalesce(details::text, ''), -- as it was hashed
  ALTER COLUMN details SET NOT NULL,
  ADD COLUMN position bigint,
  ADD COLUMN salt bytea,                        -- absent in a tombstone
  ADD COLUMN digest bytea,
  ADD COLUMN hash bytea,
  ADD COLUMN forgotten_by bigint;               -- the entry that tells of the deletion, by position

-- What was written before this migration.
CREATE FUNCTION field(content text) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
  SELECT int8send(octet_length(convert_to(content, 'UTF8'))) || convert_to(content, 'UTF8')
$$;
DO $$
DECLARE
  entry record;
  head bytea;
  place bigint;
  grain bytea;
  content bytea;
BEGIN
  FOR entry IN SELECT * FROM actions ORDER BY namespace, id LOOP
    SELECT c.length, c.head INTO place, head FROM chains c WHERE c.namespace = entry.namespace;
    place := coalesce(place, 0) + 1;
    head := coalesce(head, decode(repeat('00', 32), 'hex'));
    grain := uuid_send(gen_random_uuid());
    content := sha256(grain || field(entry.namespace) || int8send(place)
      || int8send((extract(epoch FROM entry.at) * 1000000)::bigint)
      || field(entry.actor) || field(entry.action) || field(entry.summary)
      || field(entry.details) || field(entry.run_id));
    head := sha256(head || content);
    UPDATE actions SET position = place, salt = grain, digest = content, hash = head
     WHERE id = entry.id;
    INSERT INTO chains VALUES (entry.namespace, place, head)
      ON CONFLICT (namespace) DO UPDATE SET length = place, head = excluded.head;
  END LOOP;
END $$;
DROP FUNCTION field;

ALTER TABLE actions
  ALTER COLUMN position SET NOT NULL,
  ALTER COLUMN digest SET NOT NULL,
  ALTER COLUMN hash SET NOT NULL,
  ADD CHECK ((salt IS NULL) = (forgotten_by IS NOT NULL));
CREATE UNIQUE INDEX actions_position ON actions (namespace, position);
CREATE INDEX actions_actor ON actions (namespace, actor);

-- The log is only ever added to; an entry may become a tombstone, which keeps its place and hashes.
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'UPDATE' THEN
    IF OLD.forgotten_by IS NULL AND NEW.forgotten_by IS NOT NULL
       AND (NEW.id, NEW.namespace, NEW.position, NEW.at, NEW.digest, NEW.hash)
         = (OLD.id, OLD.namespace, OLD.position, OLD.at, OLD.digest, OLD.hash)
       AND NEW.salt IS NULL
       AND (NEW.actor, NEW.action, NEW.summary, NEW.details, NEW.run_id) = ('', '', '', '', '')
    THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'the log of actions is append-only';
END $$;
CREATE TRIGGER actions_append_only BEFORE UPDATE OR DELETE ON actions
  FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER actions_kept BEFORE TRUNCATE ON actions
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
