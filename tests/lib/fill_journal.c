/* SPDX-License-Identifier: GPL-2.0-or-later */
/* fill-journal FILE: makes a journal of the activities on standard input, JSON lines as `zt-segment events -o json` prints them. */
#include <stdio.h>
#include <string.h>

#include "event/journal.h"

int main(int argc, char **argv)
{
	struct zt_journal *j = NULL;
	struct zt_diags d = {0};
	static char line[65536];
	int r = argc == 2 ? zt_journal_open(argv[1], NULL, &j, &d) : -EINVAL;

	while (r >= 0 && fgets(line, sizeof(line), stdin)) {
		struct zt_activity a;

		r = zt_activity_from_json(line, strcspn(line, "\n"), &a);
		if (r < 0)
			fprintf(stderr, "no activity: %s", line);
		else
			r = zt_journal_append(j, &a, NULL);
	}
	if (r >= 0)
		r = zt_journal_flush(j);
	zt_diags_print(&d, stderr, false);
	zt_diags_done(&d);
	zt_journal_close(j);
	return r < 0;
}
