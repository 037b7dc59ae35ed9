-- Where devices are let in or turned away. A row that was taken away stays: the past refers to it.
CREATE TABLE relying_party(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, removed INTEGER NOT NULL, name TEXT NOT NULL,
  document TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX relying_party_name ON relying_party(tenant, name);
