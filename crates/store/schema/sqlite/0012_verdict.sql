-- What verdicts rested on: one row for each state of the facts and what came of it. May be erased;
-- the record holds only the hash. id is the first half of that hash.
CREATE TABLE verdict(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, device INTEGER NOT NULL, at INTEGER NOT NULL,
  id BLOB NOT NULL, outcome TEXT NOT NULL, body BLOB NOT NULL) STRICT;
CREATE UNIQUE INDEX verdict_id ON verdict(id, outcome);
CREATE INDEX verdict_device ON verdict(device, no);
