-- The memory bank in step with a folder. What document and file had in common last is the base of
-- their edits; it moves in the transaction that takes an edit in, or after a write of the file.
ALTER TABLE documents
  ADD COLUMN base text,                        -- what both had last
  ADD COLUMN on_disk boolean NOT NULL DEFAULT false,  -- whether that was in the folder's file
  ADD COLUMN writing text,                     -- what is being written into the file
  ADD COLUMN before text,                      -- what the file had before the base was written there …
  ADD COLUMN written_at timestamptz,           -- … then
  ADD COLUMN removed_at timestamptz;           -- deleted by a person; the row stays for its sections
UPDATE documents SET base = content;

-- What agents wrote and a person's edit stood against, until the person resolves it.
CREATE TABLE bank_conflicts (
  namespace text NOT NULL,
  name text NOT NULL,                          -- of the file in which it is set aside
  path text NOT NULL,                          -- of the document
  content text NOT NULL,
  at timestamptz NOT NULL,
  written boolean NOT NULL DEFAULT false,      -- the file was there: when it is not any more, this is over
  PRIMARY KEY (namespace, name)
);
CREATE INDEX bank_conflicts_document ON bank_conflicts (namespace, path);

-- Files of forgotten documents that are still to be deleted, if they are as they were.
CREATE TABLE bank_forgotten (
  namespace text NOT NULL,
  path text NOT NULL,
  digest bytea NOT NULL,                       -- SHA-256 of what the file may have
  PRIMARY KEY (namespace, path, digest)
);

-- Which folder the documents are in step with.
CREATE TABLE bank_folders (
  namespace text PRIMARY KEY,
  folder text NOT NULL
);

DO $$
DECLARE
  owned text;
BEGIN
  FOREACH owned IN ARRAY ARRAY['bank_conflicts', 'bank_forgotten', 'bank_folders']
  LOOP
    EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %I.%I TO alina_memory_tenant',
                   current_schema(), owned);
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', owned);
    EXECUTE format('CREATE POLICY tenant ON %I TO alina_memory_tenant
      USING (namespace = current_setting(''alina.namespace'', true))', owned);
    EXECUTE format('CREATE POLICY service ON %I TO %I USING (true)', owned, current_user);
  END LOOP;
END $$;
