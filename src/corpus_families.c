#include "src/corpus_families.h"

const struct family *const corpus_all[] = {
	&family_plate,
	&family_flange,
	&family_bush,
	&family_angle,
	&family_stator,
	&family_table,
	&family_chair,
	&family_curvy_chair,
	&family_step_stool,
	&family_office_chair,
	&family_vise,
	&family_pipe_clamp,
	&family_cable_clip,
	&family_hook,
	&family_gripper,
	&family_shaft_clamp,
	&family_shelf_bracket,
	&family_truss,
	&family_servo_bracket,
	&family_bike_mount,
	&family_bottle_cage,
	&family_drone,
	&family_handle,
	&family_lamp_joint,
	&family_laptop_riser,
	&family_phone_stand,
	&family_gearbox,
	&family_hinge,
	&family_caster,
	/* never in training */
	&family_bench,
	&family_knob,
	&family_tee,
};
enum { UNSEEN = 3 };
const int corpus_all_count = sizeof(corpus_all) / sizeof(*corpus_all);
const int corpus_known = sizeof(corpus_all) / sizeof(*corpus_all) - UNSEEN;
