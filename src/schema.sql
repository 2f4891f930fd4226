-- The database, version 1. Read by src/store.c as one script; described in cadforge-store(5).
-- A row's link is written after the row, so link columns are no foreign keys: for each link the
-- database would look through all that may refer to it. fsck sees to them.
-- Times are microseconds since 1970 UTC. Hashes are SHA-256, 32 bytes. Absent figures are NULL.

CREATE TABLE meta (
	key   TEXT NOT NULL PRIMARY KEY, -- 'store': this database's own name, 32 hex digits; 'made_by'
	value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- One hash chain over all that is written, in the order of commit. hash covers the row and the hash
-- of the row before; digest covers the content that the row speaks of.
CREATE TABLE links (
	seq     INTEGER PRIMARY KEY,
	time_us INTEGER NOT NULL,
	kind    TEXT NOT NULL, -- store episode turn events judgement run prune loss
	subject INTEGER,       -- id of the row spoken of
	about   TEXT NOT NULL, -- 'EP', 'EP.T', 'EP FIRST LAST' (events), or a JSON object (prune, loss)
	digest  BLOB NOT NULL CHECK (length(digest) = 32),
	hash    BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- A process that wrote.
CREATE TABLE sessions (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	started_us INTEGER NOT NULL,
	program    TEXT NOT NULL, -- 'cadforge 0.1.0'
	host       TEXT NOT NULL,
	process    INTEGER NOT NULL
) STRICT;

-- One command's work over many episodes.
CREATE TABLE runs (
	id         INTEGER PRIMARY KEY AUTOINCREMENT,
	session    INTEGER NOT NULL REFERENCES sessions,
	kind       TEXT NOT NULL,
	started_us INTEGER NOT NULL,
	settings   TEXT,    -- JSON object
	ended_us   INTEGER, -- set once, with outcome
	outcome    TEXT,
	link       INTEGER NOT NULL -- seq of its link
) STRICT;

CREATE TABLE episodes (
	id           INTEGER PRIMARY KEY AUTOINCREMENT,
	session      INTEGER NOT NULL REFERENCES sessions,
	run          INTEGER REFERENCES runs,
	task         TEXT NOT NULL,
	pack         TEXT,
	task_hash    TEXT,
	profile      TEXT NOT NULL,
	profile_hash TEXT,
	prompts      TEXT,
	prompts_hash TEXT,
	source       TEXT NOT NULL,
	origin       TEXT UNIQUE,
	settings     TEXT, -- JSON object
	created_us   INTEGER NOT NULL,
	link         INTEGER NOT NULL, -- seq of its link
	-- a summary of its turns, kept with each commit so that a list reads nothing else
	turns        INTEGER NOT NULL DEFAULT 0,
	best         INTEGER, -- number of the turn with the highest total, the first of equals
	best_total   REAL,
	best_built   INTEGER,
	last_us      INTEGER NOT NULL,
	last_class   TEXT,
	model        TEXT,
	adapter      TEXT
) STRICT;
CREATE INDEX episodes_by_task ON episodes (task, id, best_total, created_us);
CREATE INDEX episodes_narrow ON episodes (id, best_total, created_us); -- to look through without reading them
CREATE INDEX episodes_by_run ON episodes (run) WHERE run IS NOT NULL;

CREATE TABLE turns (
	id                INTEGER PRIMARY KEY AUTOINCREMENT,
	episode           INTEGER NOT NULL REFERENCES episodes,
	number            INTEGER NOT NULL CHECK (number >= 1), -- the T of EP.T
	parent            INTEGER, -- number of a turn in the same episode
	session           INTEGER NOT NULL REFERENCES sessions,
	source            TEXT NOT NULL,
	started_us        INTEGER NOT NULL,
	committed_us      INTEGER NOT NULL,
	model             TEXT,
	model_hash        TEXT,
	adapter           TEXT,
	adapter_hash      TEXT,
	backend           TEXT,
	sampling          TEXT, -- JSON object
	finish            TEXT,
	member            INTEGER, -- of a group of siblings, from 1
	prompt_tokens     INTEGER,
	completion_tokens INTEGER,
	built             INTEGER NOT NULL CHECK (built IN (0, 1)),
	class             TEXT,
	total             REAL,
	build             REAL,
	topology          REAL,
	contact           REAL,
	semantic_parts    REAL,
	reference_similarity REAL,
	silhouette        REAL,
	editability       REAL,
	efficiency        REAL,
	link              INTEGER NOT NULL, -- seq of its link
	UNIQUE (episode, number),
	FOREIGN KEY (episode, parent) REFERENCES turns (episode, number)
) STRICT;
CREATE INDEX turns_by_class ON turns (class, episode);
CREATE INDEX turns_by_model ON turns (model, episode);
CREATE INDEX turns_by_adapter ON turns (adapter, episode);

-- What the score says about a turn, in its order.
CREATE TABLE notes (
	turn   INTEGER NOT NULL REFERENCES turns,
	number INTEGER NOT NULL,
	text   TEXT NOT NULL,
	PRIMARY KEY (turn, number)
) STRICT, WITHOUT ROWID;

-- Everything that happened, in the order in which it did.
CREATE TABLE events (
	episode INTEGER NOT NULL REFERENCES episodes,
	number  INTEGER NOT NULL,
	turn    INTEGER, -- number of the turn it belongs to
	time_us INTEGER NOT NULL,
	kind    TEXT NOT NULL,
	data    TEXT,
	PRIMARY KEY (episode, number)
) STRICT, WITHOUT ROWID;

-- Contents, each once, named by their hash.
CREATE TABLE artifacts (
	id        INTEGER PRIMARY KEY,
	hash      BLOB NOT NULL UNIQUE CHECK (length(hash) = 32), -- of the content
	bytes     INTEGER NOT NULL, -- of the content
	pruned_us INTEGER,          -- when data was dropped
	data      BLOB              -- the content as one zstd frame
) STRICT;

CREATE TABLE turn_artifacts (
	turn     INTEGER NOT NULL REFERENCES turns,
	name     TEXT NOT NULL,
	kind     TEXT NOT NULL,
	artifact INTEGER NOT NULL REFERENCES artifacts,
	PRIMARY KEY (turn, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX turn_artifacts_by_artifact ON turn_artifacts (artifact);

CREATE TABLE judgements (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	turn    INTEGER NOT NULL REFERENCES turns,
	time_us INTEGER NOT NULL,
	"as"    TEXT NOT NULL, -- who
	grade   INTEGER CHECK (grade BETWEEN 0 AND 5),
	note    TEXT,
	tags    TEXT, -- words with blanks between them
	session INTEGER NOT NULL REFERENCES sessions,
	link    INTEGER NOT NULL -- seq of its link
) STRICT;
CREATE INDEX judgements_by_turn ON judgements (turn);

-- Turns that a process works on now; what is left here by a dead process was lost with it.
CREATE TABLE flights (
	episode    INTEGER NOT NULL REFERENCES episodes,
	holder     TEXT NOT NULL, -- host, boot, process and the moment it began
	started_us INTEGER NOT NULL,
	PRIMARY KEY (episode, holder)
) STRICT, WITHOUT ROWID;

-- Has a row only inside the transaction of a prune.
CREATE TABLE pruning (
	now INTEGER PRIMARY KEY
) STRICT;

-- Words. The texts stay where they are: cadforge_text() unpacks an artifact, cadforge_words() also
-- takes the strings out of JSON.
CREATE VIEW search_text AS
SELECT t.id AS id,
	(SELECT cadforge_words(a.data) FROM turn_artifacts x JOIN artifacts a ON a.id = x.artifact
		WHERE x.turn = t.id AND x.name = 'prompt.json') AS prompt,
	(SELECT cadforge_text(a.data) FROM turn_artifacts x JOIN artifacts a ON a.id = x.artifact
		WHERE x.turn = t.id AND x.name = 'program.py') AS program,
	(SELECT cadforge_text(a.data) FROM turn_artifacts x JOIN artifacts a ON a.id = x.artifact
		WHERE x.turn = t.id AND x.name = 'build.log') AS log,
	(SELECT group_concat(text, char(10)) FROM (SELECT text FROM notes n WHERE n.turn = t.id ORDER BY n.number)) AS notes
FROM turns t;
CREATE VIRTUAL TABLE search USING fts5 (prompt, program, log, notes,
	content = 'search_text', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2');
CREATE VIRTUAL TABLE judgement_search USING fts5 (note, tags,
	content = 'judgements', content_rowid = 'id', tokenize = 'unicode61 remove_diacritics 2');

-- What is committed stays as it is.
CREATE TRIGGER links_stay_as_they_are BEFORE UPDATE ON links
BEGIN SELECT RAISE(ABORT, 'a link of the chain is never rewritten'); END;
CREATE TRIGGER links_stay BEFORE DELETE ON links
BEGIN SELECT RAISE(ABORT, 'a link of the chain is never removed'); END;

CREATE TRIGGER turns_stay_as_they_are BEFORE UPDATE ON turns
BEGIN SELECT RAISE(ABORT, 'a turn is never rewritten'); END;
CREATE TRIGGER turns_stay BEFORE DELETE ON turns WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'a turn is removed by cadforge db prune alone'); END;

CREATE TRIGGER notes_come_with_their_turn BEFORE INSERT ON notes
WHEN EXISTS (SELECT 1 FROM links WHERE seq = (SELECT link FROM turns WHERE id = NEW.turn))
BEGIN SELECT RAISE(ABORT, 'the turn is committed: nothing is added to it'); END;
CREATE TRIGGER notes_stay_as_they_are BEFORE UPDATE ON notes
BEGIN SELECT RAISE(ABORT, 'a note is never rewritten'); END;
CREATE TRIGGER notes_stay BEFORE DELETE ON notes WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'a note is removed by cadforge db prune alone'); END;

CREATE TRIGGER turn_artifacts_come_with_their_turn BEFORE INSERT ON turn_artifacts
WHEN EXISTS (SELECT 1 FROM links WHERE seq = (SELECT link FROM turns WHERE id = NEW.turn))
BEGIN SELECT RAISE(ABORT, 'the turn is committed: nothing is added to it'); END;
CREATE TRIGGER turn_artifacts_stay_as_they_are BEFORE UPDATE ON turn_artifacts
BEGIN SELECT RAISE(ABORT, 'an artifact of a turn is never replaced'); END;
CREATE TRIGGER turn_artifacts_stay BEFORE DELETE ON turn_artifacts WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'an artifact is removed by cadforge db prune alone'); END;

CREATE TRIGGER artifacts_stay_as_they_are BEFORE UPDATE ON artifacts
WHEN OLD.id IS NOT NEW.id OR OLD.hash IS NOT NEW.hash OR OLD.bytes IS NOT NEW.bytes
	OR (OLD.data IS NOT NULL AND NOT EXISTS (SELECT 1 FROM pruning))
BEGIN SELECT RAISE(ABORT, 'an artifact is never rewritten'); END;
CREATE TRIGGER artifacts_stay BEFORE DELETE ON artifacts WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'an artifact is removed by cadforge db prune alone'); END;

CREATE TRIGGER events_come_with_their_turn BEFORE INSERT ON events
WHEN NEW.turn IS NOT NULL AND EXISTS (SELECT 1 FROM links
	WHERE seq = (SELECT link FROM turns WHERE episode = NEW.episode AND number = NEW.turn))
BEGIN SELECT RAISE(ABORT, 'the turn is committed: nothing is added to it'); END;
CREATE TRIGGER events_stay_as_they_are BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'an event is never rewritten'); END;
CREATE TRIGGER events_stay BEFORE DELETE ON events WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'an event is removed by cadforge db prune alone'); END;

CREATE TRIGGER judgements_stay_as_they_are BEFORE UPDATE ON judgements
BEGIN SELECT RAISE(ABORT, 'a judgement is never rewritten: add another one'); END;
CREATE TRIGGER judgements_stay BEFORE DELETE ON judgements WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'a judgement is removed by cadforge db prune alone'); END;

CREATE TRIGGER episodes_stay_as_they_are
BEFORE UPDATE OF id, session, run, task, pack, task_hash, profile, profile_hash, prompts, prompts_hash,
	source, origin, settings, created_us, link ON episodes
BEGIN SELECT RAISE(ABORT, 'an episode keeps what it was begun with'); END;
CREATE TRIGGER episodes_stay BEFORE DELETE ON episodes WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'an episode is removed by cadforge db prune alone'); END;

CREATE TRIGGER runs_end_once BEFORE UPDATE ON runs
WHEN OLD.ended_us IS NOT NULL OR OLD.id IS NOT NEW.id OR OLD.session IS NOT NEW.session OR OLD.kind IS NOT NEW.kind
	OR OLD.started_us IS NOT NEW.started_us OR OLD.settings IS NOT NEW.settings OR OLD.link IS NOT NEW.link
BEGIN SELECT RAISE(ABORT, 'a run ends once, and keeps what it was begun with'); END;
