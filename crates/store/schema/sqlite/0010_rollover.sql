-- Where an issuer is between its making and its end (3 is active), since when, and whose work it takes
-- over. All that were there before are active.
ALTER TABLE issuer ADD COLUMN state INTEGER NOT NULL DEFAULT 3;
ALTER TABLE issuer ADD COLUMN since INTEGER NOT NULL DEFAULT 0;
ALTER TABLE issuer ADD COLUMN replaces INTEGER NOT NULL DEFAULT 0;
UPDATE issuer SET since = created;

-- What an issuer signed and is still in force is found by the end of its validity.
DROP INDEX cert_end;
CREATE INDEX cert_end ON cert(na, issuer);

-- When each service last saw a certificate of each issuer in use, to the hour.
CREATE TABLE issuer_traffic(
  issuer INTEGER NOT NULL, service TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  PRIMARY KEY(issuer, service)) STRICT, WITHOUT ROWID;
