-- Version 2: what the curriculum was told by hand, and sums over turns that a screen reads instead of
-- the turns themselves. Read by src/store.c as one script, after version 1; cadforge-store(5).

-- What was said by hand of a failure class; the last of a class is in force.
CREATE TABLE curriculum (
	id      INTEGER PRIMARY KEY AUTOINCREMENT,
	time_us INTEGER NOT NULL,
	"as"    TEXT NOT NULL, -- who
	class   TEXT NOT NULL,
	change  TEXT NOT NULL CHECK (change IN ('pin', 'ban', 'weight', 'free')),
	weight  REAL, -- of a change 'weight'
	why     TEXT,
	session INTEGER NOT NULL REFERENCES sessions,
	link    INTEGER NOT NULL, -- seq of its link
	CHECK ((change = 'weight') = (weight IS NOT NULL))
) STRICT;

-- Turns that are alike, counted. '' where a turn has none.
CREATE TABLE tallies (
	id        INTEGER PRIMARY KEY,
	task      TEXT NOT NULL,
	profile   TEXT NOT NULL,
	prompts   TEXT NOT NULL,
	source    TEXT NOT NULL,
	model     TEXT NOT NULL,
	adapter   TEXT NOT NULL,
	sampling  TEXT NOT NULL, -- without its seed
	repairs   TEXT NOT NULL, -- class of the turn that it goes on from
	class     TEXT NOT NULL,
	turns     INTEGER NOT NULL,
	built     INTEGER NOT NULL, -- of them
	scored    INTEGER NOT NULL, -- of them, with a total
	total     REAL NOT NULL,    -- of these, the sum
	best      REAL,
	best_turn INTEGER, -- id of a turn
	UNIQUE (task, profile, prompts, source, model, adapter, sampling, repairs, class)
) STRICT;

CREATE TABLE tally_turns (
	turn  INTEGER PRIMARY KEY REFERENCES turns,
	tally INTEGER NOT NULL REFERENCES tallies
) STRICT;
CREATE INDEX tally_turns_by_tally ON tally_turns (tally);

-- Turns that go on from one with a class: what came of trying to repair it.
CREATE TABLE repairs (
	class TEXT NOT NULL, -- of the turn before
	turn  INTEGER NOT NULL REFERENCES turns,
	built INTEGER NOT NULL,
	PRIMARY KEY (class, turn)
) STRICT, WITHOUT ROWID;
CREATE INDEX repairs_by_turn ON repairs (turn); -- for the check when a turn is removed

-- What a turn is counted under. cadforge_unseeded() takes the seed out of an object.
CREATE VIEW tally_keys AS
SELECT t.id AS turn, e.task AS task, e.profile AS profile, ifnull(e.prompts, '') AS prompts,
	t.source AS source, ifnull(t.model, '') AS model, ifnull(t.adapter, '') AS adapter,
	cadforge_unseeded(t.sampling) AS sampling,
	ifnull(p.class, '') AS repairs, ifnull(t.class, '') AS class, t.built AS built, t.total AS total
FROM turns t JOIN episodes e ON e.id = t.episode
	LEFT JOIN turns p ON p.episode = t.episode AND p.number = t.parent;

INSERT INTO tallies (task, profile, prompts, source, model, adapter, sampling, repairs, class, turns, built,
	scored, total, best, best_turn)
SELECT task, profile, prompts, source, model, adapter, sampling, repairs, class, count(*), sum(built),
	count(total), ifnull(sum(total), 0), max(total), iif(max(total) IS NULL, NULL, turn)
FROM tally_keys GROUP BY task, profile, prompts, source, model, adapter, sampling, repairs, class;

INSERT INTO tally_turns (turn, tally)
SELECT k.turn, (SELECT y.id FROM tallies y WHERE y.task = k.task AND y.profile = k.profile
	AND y.prompts = k.prompts AND y.source = k.source AND y.model = k.model AND y.adapter = k.adapter
	AND y.sampling = k.sampling AND y.repairs = k.repairs AND y.class = k.class)
FROM tally_keys k;

INSERT INTO repairs (class, turn, built)
SELECT repairs, turn, built FROM tally_keys WHERE repairs <> '';

CREATE TRIGGER curriculum_stays_as_it_is BEFORE UPDATE ON curriculum
BEGIN SELECT RAISE(ABORT, 'what was said of the curriculum is never rewritten: say something else'); END;
CREATE TRIGGER curriculum_stays BEFORE DELETE ON curriculum
BEGIN SELECT RAISE(ABORT, 'what was said of the curriculum is never removed'); END;
