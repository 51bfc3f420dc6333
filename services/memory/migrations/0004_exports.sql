-- Who was given what by exporting the memory bank: copies that deleting cannot reach, only name.
CREATE TABLE exports (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  namespace text NOT NULL,
  at timestamptz NOT NULL
);
CREATE INDEX exports_namespace ON exports (namespace, id);
CREATE TABLE exported (
  export_id bigint NOT NULL REFERENCES exports ON DELETE CASCADE,
  item_id uuid NOT NULL,                       -- which may be deleted since
  namespace text NOT NULL,
  PRIMARY KEY (export_id, item_id)
);
CREATE INDEX exported_item ON exported (item_id);
