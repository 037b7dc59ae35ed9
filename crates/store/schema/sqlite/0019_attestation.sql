-- What each verifier says of each device, the newest alone; the record has all of them.
CREATE TABLE attestation(
  device INTEGER NOT NULL, verifier TEXT NOT NULL, result INTEGER NOT NULL, made INTEGER NOT NULL,
  reported INTEGER NOT NULL, evidence TEXT NOT NULL, PRIMARY KEY(device, verifier)) STRICT, WITHOUT ROWID;
