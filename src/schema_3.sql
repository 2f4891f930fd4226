-- Version 3: what a training told on its way, and which of its steps answered what. Read by
-- src/store.c as one script, after version 2; cadforge-store(5).

-- In the order in which it was told: a run that goes on from a checkpoint takes some steps again, and
-- of two rows about one step the later holds.
CREATE TABLE steps (
	run     INTEGER NOT NULL REFERENCES runs,
	number  INTEGER NOT NULL CHECK (number >= 1),
	kind    TEXT NOT NULL CHECK (kind IN ('ready', 'step', 'eval', 'checkpoint', 'note', 'end')),
	step    INTEGER NOT NULL, -- of the optimizer; 0: before the first
	time_us INTEGER NOT NULL,
	loss    REAL,    -- of this step's samples, or of those held out (eval)
	lr      REAL,    -- learning rate
	norm    REAL,    -- of the gradients, before clipping
	tokens  INTEGER, -- fed
	seconds REAL,    -- that it took
	data    TEXT,    -- JSON object: everything else that was told
	PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;

-- An answer that a run's model gave to a prompt it had not learnt from, and at which step.
CREATE TABLE run_samples (
	episode INTEGER PRIMARY KEY REFERENCES episodes,
	run     INTEGER NOT NULL REFERENCES runs,
	step    INTEGER NOT NULL,
	link    INTEGER NOT NULL -- seq of its link
) STRICT;
CREATE INDEX run_samples_by_run ON run_samples (run, step);

CREATE TRIGGER steps_follow_one_another BEFORE INSERT ON steps
WHEN NEW.number IS NOT (SELECT ifnull(max(number), 0) + 1 FROM steps WHERE run = NEW.run)
BEGIN SELECT RAISE(ABORT, 'the steps of a run are numbered in their order'); END;
CREATE TRIGGER steps_stay_as_they_are BEFORE UPDATE ON steps
BEGIN SELECT RAISE(ABORT, 'a step is never rewritten'); END;
CREATE TRIGGER steps_stay BEFORE DELETE ON steps
BEGIN SELECT RAISE(ABORT, 'a step is never removed'); END;
CREATE TRIGGER run_samples_stay_as_they_are BEFORE UPDATE ON run_samples
BEGIN SELECT RAISE(ABORT, 'a sample of a run is never rewritten'); END;
CREATE TRIGGER run_samples_stay BEFORE DELETE ON run_samples WHEN NOT EXISTS (SELECT 1 FROM pruning)
BEGIN SELECT RAISE(ABORT, 'a sample of a run is removed by cadforge db prune alone'); END;

-- A training that was stopped, or whose process was killed, goes on as the same run.
DROP TRIGGER runs_end_once;
CREATE TRIGGER runs_stay_as_they_are BEFORE UPDATE ON runs
WHEN OLD.id IS NOT NEW.id OR OLD.session IS NOT NEW.session OR OLD.kind IS NOT NEW.kind
	OR OLD.started_us IS NOT NEW.started_us OR OLD.settings IS NOT NEW.settings OR OLD.link IS NOT NEW.link
	OR (OLD.ended_us IS NOT NULL AND NEW.ended_us IS NOT NULL)
BEGIN SELECT RAISE(ABORT, 'a run ends once, unless it goes on, and keeps what it was begun with'); END;
