-- A question finds entities by all their names, aliases among them, and knows what was merged when.

-- Names are looked up in their own table, which has the same two indexes.
DROP INDEX entities_alike;

-- All entities that stood for the same as one at a time, itself among them; now when no time is given.
CREATE FUNCTION same_as(space text, entity uuid, known timestamptz)
RETURNS SETOF uuid LANGUAGE sql STABLE ROWS 2 AS $$
  WITH RECURSIVE alike (id) AS (
    SELECT entity
    UNION SELECT CASE WHEN m.from_id = alike.id THEN m.into_id ELSE m.from_id END
      FROM alike JOIN merges m ON m.namespace = space
       AND (m.from_id = alike.id OR m.into_id = alike.id)
       AND CASE WHEN known IS NULL THEN m.undone_at IS NULL
                ELSE m.merged_at <= known AND (m.undone_at IS NULL OR m.undone_at > known) END)
  SELECT id FROM alike
$$;
DROP FUNCTION same_as(text, uuid);
