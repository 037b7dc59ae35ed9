-- The keys of roots that other roots certified (RFC 9810 section 4.4); the certificates themselves are
-- among all the others.
CREATE TABLE cross_certificate(
  cert INTEGER PRIMARY KEY, subject INTEGER NOT NULL, signer INTEGER NOT NULL) STRICT;
CREATE INDEX cross_certificate_subject ON cross_certificate(subject);
