-- A search wants the nearest hundred at once; by default the index is searched for forty at a time.
DO $$ BEGIN
  EXECUTE format('ALTER DATABASE %I SET hnsw.ef_search = 100', current_database());
END $$;
