-- Who writes is not to wait, now and then, until the lists are worked off that text indexes keep of
-- what was written lately; and who searches is not to read through such lists.
DO $$
DECLARE
  part regclass;
BEGIN
  FOR part IN
    SELECT i.indexrelid FROM pg_index i
      JOIN pg_class c ON c.oid = i.indexrelid AND c.relkind = 'i'
      JOIN pg_am a ON a.oid = c.relam AND a.amname = 'gin'
     WHERE c.relnamespace = current_schema::regnamespace
  LOOP
    EXECUTE format('ALTER INDEX %s SET (fastupdate = off)', part);
    PERFORM gin_clean_pending_list(part);
  END LOOP;
  -- A count is changed in its place, in no index, as long as there is room beside it.
  FOR part IN SELECT relid FROM pg_partition_tree('terms') WHERE isleaf LOOP
    EXECUTE format('ALTER TABLE %s SET (fillfactor = 60)', part);
  END LOOP;
END $$;

-- Plans are made once, while tables may be empty. What PostgreSQL then supposes, that there are two
-- hundred namespaces of a row each, makes it look for a row through all of its namespace, for long:
-- it is told that they have several, until it has looked at the tables itself.
DO $$
DECLARE
  whole record;
BEGIN
  FOR whole IN
    SELECT relname, relkind = 'p' AS split FROM pg_class c
      JOIN pg_attribute a ON attrelid = c.oid AND attname = 'namespace' AND NOT attisdropped
     WHERE relnamespace = current_schema::regnamespace AND relkind IN ('r', 'p')
       AND reltuples <= 0 -- never looked at, or while it was empty
  LOOP
    PERFORM pg_restore_attribute_stats(
      'schemaname', current_schema::text, 'relname', whole.relname::text, 'attname', 'namespace',
      'inherited', whole.split, 'null_frac', 0::real, 'avg_width', 16, 'n_distinct', 20::real);
  END LOOP;
END $$;
