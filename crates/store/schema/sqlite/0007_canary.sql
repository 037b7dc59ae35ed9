-- The class of canaries is built in, like their profiles. Its number is below zero: lists of classes
-- begin above, and what has a class below zero is in no count.
INSERT INTO class(no, tenant, name, version, document)
VALUES(-1, 1, 'tenure-canary', 1, '{"name":"tenure-canary","profile":"tenure-canary"}');
