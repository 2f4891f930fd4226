-- Version 4: what answers were to a run that learns from its own. Read by src/store.c as one script, after
-- version 3; cadforge-store(5).

-- In the order in which they were told, those of a step together under one link: a run that goes on from a
-- checkpoint takes some steps again, and the later ones hold. turn is no foreign key: a row is the run's, and
-- stays when its turn is pruned.
CREATE TABLE rollouts (
	run       INTEGER NOT NULL REFERENCES runs,
	number    INTEGER NOT NULL CHECK (number >= 1),
	turn      INTEGER NOT NULL UNIQUE, -- id of a turn
	step      INTEGER NOT NULL CHECK (step >= 0), -- of the run; 0: an evaluation
	"group"   INTEGER NOT NULL CHECK ("group" >= 0), -- answers to one prompt; counts from 0 in its step
	member    INTEGER NOT NULL CHECK (member >= 1),  -- of the group
	round     INTEGER NOT NULL CHECK (round >= 1),   -- of the member: 1 its first answer, 2 a repair of that, ...
	kind      TEXT NOT NULL CHECK (kind IN ('first', 'repair', 'eval')),
	reward    REAL,
	advantage REAL,
	use       TEXT NOT NULL CHECK (use IN ('used', 'flat', 'clipped', 'lost', 'replaced', '')),
	link      INTEGER NOT NULL, -- seq of its link
	PRIMARY KEY (run, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX rollouts_by_step ON rollouts (run, step, "group", round, member, link);

CREATE TRIGGER rollouts_follow_one_another BEFORE INSERT ON rollouts
WHEN NEW.number IS NOT (SELECT ifnull(max(number), 0) + 1 FROM rollouts WHERE run = NEW.run)
BEGIN SELECT RAISE(ABORT, 'the rollouts of a run are numbered in their order'); END;
CREATE TRIGGER rollouts_have_a_turn BEFORE INSERT ON rollouts
WHEN NOT EXISTS (SELECT 1 FROM turns WHERE id = NEW.turn)
BEGIN SELECT RAISE(ABORT, 'a rollout is a turn: there is none of that id'); END;
CREATE TRIGGER rollouts_stay_as_they_are BEFORE UPDATE ON rollouts
BEGIN SELECT RAISE(ABORT, 'a rollout is never rewritten'); END;
CREATE TRIGGER rollouts_stay BEFORE DELETE ON rollouts
BEGIN SELECT RAISE(ABORT, 'a rollout is never removed'); END;
