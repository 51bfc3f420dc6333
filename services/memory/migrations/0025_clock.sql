-- What became stale or holds again by the clock is noted until then.
ALTER TABLE namespaces ADD COLUMN clocked_to timestamptz NOT NULL DEFAULT now();
