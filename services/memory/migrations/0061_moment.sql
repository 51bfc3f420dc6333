-- What the cache of a namespace's answers is keyed by: its version, which moves with every write, and when
-- a fact last began or ceased to be true by the clock, seen from `at`. Asked before every read: its plan is
-- made once a connection.
CREATE FUNCTION moment_of(whose text, at timestamptz, OUT version bigint, OUT moment timestamptz)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
  version := (SELECT n.version FROM namespaces n WHERE name = whose);
  moment := greatest(
    (SELECT max(valid_from) FROM items
      WHERE namespace = whose AND kind = 2 AND valid_from <= at),
    (SELECT max(valid_to) FROM items
      WHERE namespace = whose AND kind = 2 AND valid_to <= at));
END $$;
