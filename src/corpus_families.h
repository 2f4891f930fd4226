/*
 * corpus_families.h - the families, a file a kind. corpus_families.c says which training sees.
 */
#ifndef CORPUS_FAMILIES_H
#define CORPUS_FAMILIES_H

#include "src/corpus_inside.h"

/* corpus_round.c */
extern const struct family family_stator;
/* corpus_furniture.c */
extern const struct family family_table, family_chair, family_curvy_chair, family_step_stool,
	family_office_chair, family_bench;
/* corpus_clamps.c */
extern const struct family family_vise, family_pipe_clamp, family_cable_clip, family_hook,
	family_gripper, family_shaft_clamp;
/* corpus_frames.c */
extern const struct family family_shelf_bracket, family_truss, family_servo_bracket,
	family_bike_mount, family_bottle_cage, family_drone;
/* corpus_desk.c */
extern const struct family family_handle, family_lamp_joint, family_laptop_riser,
	family_phone_stand;
/* corpus_machine.c */
extern const struct family family_gearbox, family_hinge, family_caster;
/* corpus_simple.c */
extern const struct family family_plate, family_flange, family_bush, family_angle, family_knob,
	family_tee;

#endif
