-- What a probe of a relying party came to. enforced is in milliseconds, -1 where nothing was measured.
CREATE TABLE probe(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, party INTEGER NOT NULL, scope INTEGER NOT NULL,
  verdict INTEGER NOT NULL, began INTEGER NOT NULL, ended INTEGER NOT NULL,
  enforced INTEGER NOT NULL, document TEXT NOT NULL) STRICT;
CREATE INDEX probe_party ON probe(party, no);
CREATE INDEX probe_enforced ON probe(tenant, ended) WHERE enforced >= 0;

-- What each relying party did with each canary the last time it was tried.
CREATE TABLE enforcement(
  party INTEGER NOT NULL, issuer TEXT NOT NULL, canary INTEGER NOT NULL, reception INTEGER NOT NULL,
  at INTEGER NOT NULL, probe INTEGER NOT NULL, how TEXT NOT NULL,
  PRIMARY KEY(party, issuer, canary)) STRICT, WITHOUT ROWID;
