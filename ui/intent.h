/*
 * intent.h - what a person wants: the only thing that leaves ui.
 *
 * Scrolling, filtering, finding, zooming, help and the prompt's editing are ui's own and make no
 * intent. The names are those of the keymap (ui/keys.default) and of the command line.
 */
#ifndef UI_INTENT_H
#define UI_INTENT_H

#include <stdint.h>

/* X(CONSTANT, "name", "words for help"); the whole vocabulary, in one place. */
#define UI_INTENTS(X)                                                                                  \
	/* everywhere */                                                                               \
	X(SCREEN, "screen", "go to a screen (n: 0-5)")                                                 \
	X(SELECT, "select", "an item was selected (n: its id, m: 1 by moving, 2 by opening)")          \
	X(QUIT, "quit", "leave; what runs is ended (asked before)")                                    \
	X(DETACH, "detach", "leave, and let what runs go on")                                          \
	X(BACK, "back", "close what the workbench laid over the screen")                               \
	X(CHOOSE, "choose", "take the row (n) of the list that lies over the screen")                  \
	X(MORE, "more", "further rows of the list that lies over the screen")                          \
	X(COMMAND, "command", "a command that ui does not know (text)")                                \
	X(EXPORT, "export", "export what is shown (text: where)")                                      \
	X(COPY, "copy", "what y copied could not be handed to the terminal: keep it (text)")           \
	X(UNDO, "undo", "take back the last thing that can be")                                        \
	X(ORDER, "order", "sort otherwise")                                                            \
	X(SUSPEND, "suspend", "stop this process until fg")                                            \
	/* Tasks */                                                                                    \
	X(OPEN, "open", "open the selected task or row")                                               \
	X(RUN, "run", "run the selected task as a whole episode")                                      \
	X(RUN_MARKED, "run-marked", "run the marked tasks, one after another")                         \
	X(MARK, "mark", "mark the selected row, or not")                                               \
	X(NEW_TASK, "new-task", "write a new task in $VISUAL")                                         \
	/* Live */                                                                                     \
	X(GO_ON, "go-on", "start; go on to the next turn")                                             \
	X(STOP, "stop-generation", "stop generating, keep what came")                                  \
	X(STOP_AFTER, "stop-after", "stop the episode after this turn")                                \
	X(REPAIR, "repair", "a repair turn now")                                                       \
	X(REPAIR_EDIT, "repair-edit", "edit the repair prompt first, in $VISUAL")                      \
	X(ADAPTER, "adapter", "choose the adapters")                                                   \
	X(BUILD, "build", "build what stands in Code")                                                 \
	X(EDIT, "edit", "edit Code in $VISUAL, build it as a hand-made turn")                          \
	X(IMAGE, "image",                                                                              \
	  "the next view of the part, or none (text: front, left, right, top, iso, back, sheet, off)") \
	X(TURN_PART, "turn-part", "turn the part (n: degrees about the vertical, m: tilt)")            \
	X(SECTION, "section", "cut the part open, or not")                                             \
	X(DIFFERENCE, "difference", "the difference to the reference, or not")                         \
	X(GROUP, "group", "a group of rollouts (n: how many)")                                         \
	X(BRANCH, "branch", "go on from this token with that alternative (n: token, m: id)")           \
	X(SET, "set", "set temperature, seed, profile, prompts, turns, ... (text: NAME VALUE)")        \
	/* Replay */                                                                                   \
	X(TURN, "turn", "the previous or next turn (n: -1, 1), or turn m")                             \
	X(EPISODE, "episode", "the previous or next episode (n: -1, 1), or episode m")                 \
	X(OTHER_SIDE, "other-side",                                                                    \
	  "choose the other side of the diff (n: its turn; 0: the parent)")                            \
	X(FORK, "fork", "go on from this turn in Live")                                                \
	X(JUDGE, "judge", "grade and note (n: 0-5, -1 none; text: note; more: tags)")                  \
	X(BLIND, "blind", "hide model and adapter while judging, or not")                              \
	X(PAIRWISE, "pairwise", "judge pairs, or not")                                                 \
	X(PREFER, "prefer", "of a pair (n: 1 left, 2 right, 0 equal)")                                 \
	X(PLAY, "play", "play, or hold")                                                               \
	X(SPEED, "speed", "slower or faster (n: -1, 1)")                                               \
	X(SEEK, "seek", "by so many events (n), or to a share of the whole (m: 0-1000)")               \
	/* Curriculum */                                                                               \
	X(PIN, "pin", "always train this class, or as computed")                                       \
	X(BAN, "ban", "never train this class, or as computed")                                        \
	X(WEIGHT, "weight", "set this class's weight by hand (text)")                                  \
	X(PAUSE, "pause", "pause the training, or go on")                                              \
	X(CHECKPOINT, "checkpoint", "a checkpoint now")                                                \
	/* Compare */                                                                                  \
	X(ADD_COLUMN, "add-column", "add a column")                                                    \
	X(DROP_COLUMN, "drop-column", "remove the column")                                             \
	X(COLUMN, "column", "the column to the left or right (n: -1, 1)")                              \
	X(PAIR, "pair", "the table, or the pair in detail")

enum intent_kind {
	INTENT_NONE,
#define X(constant, name, words) INTENT_##constant,
	UI_INTENTS(X)
#undef X
		N_INTENTS
};

struct intent {
	enum intent_kind kind;
	int64_t n, m;
	const char *text, *more; /* borrowed until the next key is read; NULL: none */
};

const char *intent_name(enum intent_kind k);

#endif
