-- What a session's beginning asks for, found without looking through everything: the conditions are
-- those of `store/brief.rs`, to the letter.

-- Runs that began, the latest first.
CREATE INDEX actions_begun ON actions (namespace, position)
  WHERE action IN ('run.started', 'run.resumed');

-- What decides something.
CREATE INDEX actions_deciding ON actions (namespace, position)
  WHERE action ~ '^decision(\.|$)|\.(decided|approved|rejected|chosen|planned)$';
CREATE INDEX facts_deciding ON facts (namespace, id)
  WHERE predicate IN ('decided', 'decided_on', 'decided_to', 'agreed', 'agreed_on', 'agreed_to',
                      'chose', 'planned', 'approved', 'rejected');
CREATE INDEX items_deciding ON items (namespace, valid_from)
  WHERE kind = 1 AND text ~* '^\s*((we|i|they)\s+)?(decided|agreed|decision)\y';

-- What is so until something else is.
CREATE INDEX facts_functional ON facts (namespace, id) WHERE functional;
