-- Copies of a whole namespace hold all that was written down by then: noted in one row, not item by item.
ALTER TABLE exports ADD COLUMN whole boolean NOT NULL DEFAULT false;

-- The file that a namespace was filled from, so that the same import sent again is answered, not refused.
ALTER TABLE namespaces ADD COLUMN imported bytea;

-- Entries of the log keep their numbers when they are taken in elsewhere, where another namespace may
-- have the same: numbers are a namespace's own.
DO $$ BEGIN
  IF NOT EXISTS (
    SELECT FROM pg_constraint JOIN pg_attribute ON attrelid = conrelid AND attnum = ANY(conkey)
     WHERE conrelid = 'actions'::regclass AND contype = 'p' AND attname = 'namespace')
  THEN
    ALTER TABLE actions DROP CONSTRAINT actions_pkey, ADD PRIMARY KEY (namespace, id);
  END IF;
END $$;
