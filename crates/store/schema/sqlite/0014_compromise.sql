-- Keys and issuers that are in other hands, each once; who must get a new key is asked of the record.
CREATE TABLE compromise(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, kind INTEGER NOT NULL, how INTEGER NOT NULL,
  at INTEGER NOT NULL, since INTEGER NOT NULL, devices INTEGER NOT NULL, certificates INTEGER NOT NULL,
  name TEXT NOT NULL, why TEXT NOT NULL, actor TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX compromise_name ON compromise(tenant, kind, name);

-- Lists of keys that others know, by name. Their keys are in blocked_key, and stay there.
CREATE TABLE key_list(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, keys INTEGER NOT NULL, held INTEGER NOT NULL,
  first INTEGER NOT NULL, last INTEGER NOT NULL, name TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX key_list_name ON key_list(tenant, name);

-- Drills and what they came to, whole and for each issuer.
CREATE TABLE drill(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, kind INTEGER NOT NULL, verdict INTEGER NOT NULL,
  began INTEGER NOT NULL, ended INTEGER NOT NULL, issuers TEXT NOT NULL, actor TEXT NOT NULL,
  document TEXT NOT NULL) STRICT;
CREATE INDEX drill_verdict ON drill(tenant, verdict);
CREATE TABLE drill_issuer(
  issuer TEXT NOT NULL, kind INTEGER NOT NULL, drill INTEGER NOT NULL, verdict INTEGER NOT NULL,
  ended INTEGER NOT NULL, PRIMARY KEY(issuer, kind, drill)) STRICT, WITHOUT ROWID;
