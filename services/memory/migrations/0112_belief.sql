-- What rests on what is looked up row by row: a join might go through all that is known.
CREATE OR REPLACE FUNCTION stale(whose text, fact uuid, at timestamptz, known timestamptz)
RETURNS boolean LANGUAGE sql STABLE AS $$
  WITH RECURSIVE below (ground_id) AS (
    SELECT ground_id FROM grounds WHERE namespace = whose AND fact_id = fact
    UNION SELECT further.ground_id FROM below, LATERAL (
      SELECT g.ground_id FROM grounds g WHERE g.namespace = whose AND g.fact_id = below.ground_id
      OFFSET 0) AS further)
  SELECT EXISTS (SELECT FROM below WHERE NOT held(whose, ground_id, at, known))
$$;

-- The same for a tenant.
CREATE OR REPLACE FUNCTION held(item uuid, at timestamptz, known timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$ SELECT held(current_setting('alina.namespace', true), item, at, known) $$;
CREATE OR REPLACE FUNCTION stale(fact uuid, at timestamptz, known timestamptz) RETURNS boolean
LANGUAGE sql STABLE AS $$ SELECT stale(current_setting('alina.namespace', true), fact, at, known) $$;
