-- What is not as it should be. One row per matter (kind, subject, cause), however often it opens.
CREATE TABLE finding(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, kind INTEGER NOT NULL, state INTEGER NOT NULL,
  subject_kind INTEGER NOT NULL, criticality INTEGER NOT NULL, times INTEGER NOT NULL,
  first INTEGER NOT NULL, opened INTEGER NOT NULL, cleared INTEGER NOT NULL, subject TEXT NOT NULL,
  cause TEXT NOT NULL, summary TEXT NOT NULL, evidence TEXT NOT NULL, owner TEXT NOT NULL,
  acknowledged TEXT NOT NULL) STRICT;
CREATE UNIQUE INDEX finding_matter ON finding(tenant, subject_kind, subject, kind, cause);
CREATE INDEX finding_state ON finding(tenant, state);
