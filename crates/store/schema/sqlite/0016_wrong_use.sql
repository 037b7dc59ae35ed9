-- When a use that should not have been was last reported at a service. May be emptied at any time.
CREATE TABLE wrong_use(
  service TEXT NOT NULL, kind INTEGER NOT NULL, last INTEGER NOT NULL,
  PRIMARY KEY(service, kind)) STRICT, WITHOUT ROWID;
