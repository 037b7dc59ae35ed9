-- How many certificates each operator withdrew for good within the hour that began at since, and what
-- other operators allow beyond what one may do alone.
CREATE TABLE revoked_alone(operator INTEGER PRIMARY KEY, since INTEGER NOT NULL, n INTEGER NOT NULL) STRICT;
CREATE TABLE permit(
  no INTEGER PRIMARY KEY, tenant INTEGER NOT NULL, operator INTEGER NOT NULL, name TEXT NOT NULL,
  revocations INTEGER NOT NULL, used INTEGER NOT NULL, until INTEGER NOT NULL,
  granted INTEGER NOT NULL, granted_by TEXT NOT NULL, why TEXT NOT NULL) STRICT;
CREATE INDEX permit_operator ON permit(operator, until);
