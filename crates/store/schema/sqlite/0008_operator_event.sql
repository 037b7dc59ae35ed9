-- What each operator's token did, for the day on which it turns out to have been somebody else's.
CREATE TABLE operator_event(
  operator INTEGER NOT NULL, event INTEGER NOT NULL, PRIMARY KEY(operator, event)) STRICT, WITHOUT ROWID;
INSERT INTO operator_event
  SELECT json_extract(CAST(leaf AS TEXT), '$.actor.no'), seq FROM event
  WHERE json_extract(CAST(leaf AS TEXT), '$.actor.by') = 'operator' ORDER BY 1, 2;
