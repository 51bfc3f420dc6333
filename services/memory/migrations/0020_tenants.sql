-- Row-level security: whoever works for one namespace does so as a role that sees only the rows of
-- `alina.namespace`, a setting of the transaction; without the setting it sees nothing. That role
-- owns nothing and is no superuser, so that the policies bind it whatever role the service connects
-- as. Nobody is exempt for owning a table (FORCE): the service's own role has a policy that says so,
-- for the work over all namespaces (vectors, counts of words, indexes that bring candidates).
DO $$
BEGIN
  -- Roles belong to the whole server: another database's migration may have made it, or do so now.
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'alina_memory_tenant') THEN
    CREATE ROLE alina_memory_tenant NOLOGIN NOBYPASSRLS;
  END IF;
EXCEPTION WHEN duplicate_object OR unique_violation THEN
  NULL;
END $$;

DO $$
DECLARE
  owned text;
BEGIN
  IF NOT pg_has_role(current_user, 'alina_memory_tenant', 'SET') THEN
    EXECUTE format('GRANT alina_memory_tenant TO %I', current_user);
  END IF;
  EXECUTE format('GRANT USAGE ON SCHEMA %I TO alina_memory_tenant', current_schema());
  EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I
                  TO alina_memory_tenant', current_schema());
  EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA %I TO alina_memory_tenant',
                 current_schema());
  EXECUTE format('REVOKE ALL ON %I._sqlx_migrations FROM alina_memory_tenant', current_schema());
  FOREACH owned IN ARRAY ARRAY['items', 'versions', 'entities', 'names', 'facts', 'grounds', 'documents',
    'sections', 'actions', 'chains', 'idempotency_keys', 'changes', 'exports',
    'exported', 'actors', 'terms']
  LOOP
    EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', owned);
    EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', owned);
    EXECUTE format('CREATE POLICY tenant ON %I TO alina_memory_tenant
      USING (namespace = current_setting(''alina.namespace'', true))', owned);
    EXECUTE format('CREATE POLICY service ON %I TO %I USING (true)', owned, current_user);
  END LOOP;
  EXECUTE format('CREATE POLICY service ON namespaces TO %I USING (true)', current_user);
END $$;

ALTER TABLE namespaces ENABLE ROW LEVEL SECURITY;
ALTER TABLE namespaces FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON namespaces TO alina_memory_tenant
  USING (name = current_setting('alina.namespace', true));
