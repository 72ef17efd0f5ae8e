/* SPDX-License-Identifier: GPL-2.0-or-later */
/* adversarial.c, identity.c and programs.c one after the other with what was loaded once: for virtual machines, by tests/vm/attacks. */
#include "bed_actor.h"

void bed_part_adversarial(struct bed *b), bed_part_identity(struct bed *b), bed_part_programs(struct bed *b);

static void test(struct bed *b)
{
	bed_part_adversarial(b);
	bed_part_identity(b);
	bed_part_programs(b);
}

int main(int argc, char **argv)
{
	bed_actor_main(argc, argv);
	return bed_main("attacks", test);
}
