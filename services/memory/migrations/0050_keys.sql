-- What refers to an item, an entity or a fact names its namespace, too: a reference cannot lead into
-- another namespace, and tables can be split by namespace.
ALTER TABLE items ADD UNIQUE (namespace, id);
ALTER TABLE entities ADD UNIQUE (namespace, id);
ALTER TABLE facts ADD UNIQUE (namespace, id);
