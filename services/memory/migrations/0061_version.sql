-- What the cache of a namespace's answers is keyed by: it moves with every write, and when a fact begins
-- or ceases to be true by the clock. Asked before every read: its plan is made once a connection.
CREATE FUNCTION version_of(whose text, at timestamptz) RETURNS text
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  RETURN concat_ws('-',
    (SELECT version FROM namespaces WHERE name = whose),
    (SELECT extract(epoch FROM greatest(
      (SELECT max(valid_from) FROM items
        WHERE namespace = whose AND kind = 2 AND valid_from <= at),
      (SELECT max(valid_to) FROM items
        WHERE namespace = whose AND kind = 2 AND valid_to <= at)))));
END $$;
