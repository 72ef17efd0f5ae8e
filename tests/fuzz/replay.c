/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Stands in for libFuzzer: gives every file of a folder to the harness, then each of them cut short at some places. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t buffer[1 << 20];

static void replay(size_t size)
{
	for (size_t part = 0; part <= 8; part++) {
		size_t n = size * part / 8;
		uint8_t *exact = malloc(n ? n : 1); /* of its own size, so that ASan sees a read past the end */

		if (!exact)
			abort();
		for (size_t i = 0; i < n; i++)
			exact[i] = buffer[i];
		(void)LLVMFuzzerTestOneInput(exact, n);
		free(exact);
	}
}

int main(int argc, char **argv)
{
	struct dirent *e;
	DIR *dir = argc == 2 ? opendir(argv[1]) : NULL;
	unsigned n = 0;

	if (!dir)
		return 2;
	while ((e = readdir(dir))) {
		char path[4096];
		FILE *f;

		snprintf(path, sizeof(path), "%s/%s", argv[1], e->d_name);
		if (e->d_name[0] == '.' || !(f = fopen(path, "rbe")))
			continue;
		replay(fread(buffer, 1, sizeof(buffer), f));
		(void)fclose(f);
		n++;
	}
	(void)closedir(dir);
	printf("%u files\n", n);
	return n ? 0 : 1;
}
