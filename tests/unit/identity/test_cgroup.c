/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Mount tables of other hosts, and a tree of control groups made for the purpose. */
#include "../base/common.h"

#include <sys/stat.h>

#include "base/mem.h"
#include "identity/identity.h"

static void expect_mount(const char *mountinfo, const char *want)
{
	char *copy = zt_strdup(mountinfo), *found = NULL;
	int r = zt_cgroup_mount_find(copy, &found);

	assert_int_equal(r, want ? 0 : -ENOENT);
	if (want)
		assert_string_equal(found, want);
	else
		assert_null(found);
	free(found);
	free(copy);
}

#define ROOT_LINE "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/root rw\n"

static void mount_tables(void **state)
{
	(void)state;
	expect_mount(ROOT_LINE "29 22 0:25 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n",
		     "/sys/fs/cgroup");
	expect_mount("29 22 0:25 / /sys/fs/cgroup rw - cgroup2 none rw",
		     "/sys/fs/cgroup"); /* no optional field, no newline */
	expect_mount(
		"29 22 0:25 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n30 29 0:26 / /sys/fs/cgroup/unified rw shared:5 master:2 - cgroup2 "
		"cgroup2 rw\n31 29 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
		"/sys/fs/cgroup/unified");
	expect_mount(ROOT_LINE, NULL);
	expect_mount("", NULL);
	expect_mount("\n\n \n - \n - cgroup2 \n1 2 3 - cgroup2 x\n", NULL); /* too few fields */
	expect_mount("1 2 0:1 / relative rw - cgroup2 x rw\n", NULL);
	expect_mount("1 2 0:1 / /mnt/a\\040b\\134c rw - cgroup2 x rw\n", "/mnt/a b\\c");
	expect_mount("1 2 0:1 / /mnt/bad\\9\\04 rw - cgroup2 x rw\n", "/mnt/bad\\9\\04");
	/* A container's own mount, seen from outside, is not the host's; nor is a folder that only begins alike. */
	expect_mount(
		"1 2 0:1 / /srv/tree/sys/fs/cgroup rw - cgroup2 x rw\n1 2 0:1 / /sys/fs/cgroupx rw - cgroup2 x rw\n"
		"1 2 0:1 / /sys/fs/cgroup rw - cgroup2 x rw\n1 2 0:1 / /sys/fs/cgroup/second rw - cgroup2 x rw\n",
		"/sys/fs/cgroup");
	/* A file system may be named like what we look for. */
	expect_mount("1 2 0:1 / /x rw - ext4 cgroup2 rw\n1 2 0:1 / /y rw - cgroup cgroup2 rw\n", NULL);
}

static char *mount_path, top[64];

static void in_tree(const char *below, char buf[static 512])
{
	(void)snprintf(buf, 512, "%s/%s%s%s", mount_path, top, *below ? "/" : "", below);
}

static const char *const folders[] = {"",
				      "a.slice",
				      "a.slice/zt-unit-probe.service",
				      "a.slice/zt-unit-probe.service/sub",
				      "a.slice/zt-unit-many@1.service",
				      "a.slice/zt-unit-many@.service", /* no instance */
				      "a.slice/zt-unit-many2@1.service",
				      "zt-unit-many@2.service",
				      "x.scope", /* what payloads make: */
				      "x.scope/zt-unit-many@3.service",
				      "x.scope/zt-unit-fake.service",
				      "a.slice/zt-unit-probe.service/zt-unit-fake.service",
				      "payload",
				      "payload/zt-unit-fake.service",
				      "lent.slice", /* and users */
				      "lent.slice/zt-unit-many@4.service",
				      "lent.slice/zt-unit-fake.service",
				      "system.slice",
				      "system.slice/system-zt\\x2dunit\\x2dmany.slice",
				      "system.slice/system-zt\\x2dunit\\x2dmany.slice/zt-unit-many@5.service"};

static int make_tree(void **state)
{
	(void)state;
	(void)snprintf(top, sizeof(top), "zt-unit-cgroup-%d", (int)getpid());
	if (geteuid() != 0 || zt_cgroup_mount(&mount_path) < 0)
		return 0; /* the tests skip */
	for (size_t i = 0; i < ZT_ARRAY_SIZE(folders); i++) {
		char path[512];

		in_tree(folders[i], path);
		if (mkdir(path, 0755) < 0) {
			zt_freep(&mount_path);
			return 0;
		}
		if (!strcmp(folders[i], "lent.slice") && chown(path, 1001, 1001) < 0)
			return -1;
	}
	return 0;
}

static int drop_tree(void **state)
{
	(void)state;
	for (size_t i = ZT_ARRAY_SIZE(folders); mount_path && i-- > 0;) {
		char path[512];

		in_tree(folders[i], path);
		if (rmdir(path) < 0)
			return -1;
	}
	zt_freep(&mount_path);
	return 0;
}

static void lookups(void **state)
{
	uint64_t id = 0, again = 0;
	unsigned level = 0;
	char path[128], *back = NULL;
	struct stat st;
	char full[512];

	(void)state;
	if (!mount_path)
		skip();
	(void)snprintf(path, sizeof(path), "%s/a.slice", top);
	assert_int_equal(zt_cgroup_lookup(NULL, path, &id, &level), 0);
	assert_int_equal(level, 2);
	in_tree("a.slice", full);
	assert_int_equal(stat(full, &st), 0);
	assert_true(id == st.st_ino);
	assert_int_equal(zt_cgroup_lookup(top, "a.slice", &again, &level), 0);
	assert_true(id == again);
	assert_int_equal(level, 2);
	assert_int_equal(zt_cgroup_path(id, &back), 0);
	assert_string_equal(back, path);
	free(back);
	back = NULL;
	assert_int_equal(zt_cgroup_lookup(top, "b.slice", &again, &level), -ENOENT);
	assert_int_equal(zt_cgroup_lookup(top, "cgroup.procs", &again, &level), -ENOENT); /* a file is no group */
	assert_true(again == id);
	assert_true(zt_cgroup_path(UINT64_C(1) << 62, &back) < 0);
	assert_null(back);
}

static void services(void **state)
{
	char *path = NULL, want[128];

	(void)state;
	if (!mount_path)
		skip();
	(void)snprintf(want, sizeof(want), "a.slice/zt-unit-probe.service");
	assert_int_equal(zt_service_cgroup(NULL, "zt-unit-probe", &path), -ENOENT); /* that tree is not one of slices */
	zt_freep(&path);
	assert_int_equal(zt_service_cgroup(top, "zt-unit-probe", &path),
			 0); /* runs in a slice of its own: found by its name */
	assert_string_equal(path, want);
	zt_freep(&path);
	assert_int_equal(zt_service_cgroup(top, "zt-unit-probe.service", &path), 0);
	assert_string_equal(path, want);
	zt_freep(&path);
	assert_int_equal(zt_service_cgroup(NULL, "zt-unit-prob", &path), -ENOENT);
	assert_string_equal(path, "system.slice/zt-unit-prob.service");
	zt_freep(&path);
	assert_int_equal(zt_service_cgroup(NULL, "zt-unit@x-y.service", &path), -ENOENT);
	assert_string_equal(path, "system.slice/system-zt\\x2dunit.slice/zt-unit@x-y.service");
	zt_freep(&path);
	assert_int_equal(zt_service_cgroup(NULL, "zt-unit-none.socket", &path), -ENOENT);
	assert_string_equal(path, "system.slice/zt-unit-none.socket");
	zt_freep(&path);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void templates(void **state)
{
	char *paths = NULL, *line[4] = {NULL}, *save = NULL;
	size_t n = 0;

	(void)state;
	assert_true(zt_service_template("a@") && zt_service_template("a@.service"));
	assert_false(zt_service_template("a@b") || zt_service_template("a@b.service") || zt_service_template("a") ||
		     zt_service_template("a@.x"));
	assert_true(zt_service_cgroup(top, "zt\\x-y@", &paths) == -ENOENT);
	assert_string_equal(paths, "system.slice/system-zt\\x5cx\\x2dy.slice");
	zt_freep(&paths);
	if (!mount_path)
		skip();
	assert_int_equal(zt_service_cgroups(top, "zt-unit-many@.service", &paths), 0);
	for (char *l = strtok_r(paths, "\n", &save); l && n < ZT_ARRAY_SIZE(line); l = strtok_r(NULL, "\n", &save))
		line[n++] = l;
	assert_int_equal(n, 3);
	assert_string_equal(line[0], "system.slice/system-zt\\x2dunit\\x2dmany.slice"); /* with what is in it */
	qsort(line + 1, n - 1, sizeof(*line), compare_lines);
	assert_string_equal(line[1], "a.slice/zt-unit-many@1.service");
	assert_string_equal(line[2], "zt-unit-many@2.service");
	zt_freep(&paths);
	assert_int_equal(zt_service_cgroups(top, "zt-unit-probe.service", &paths), 0);
	assert_string_equal(paths, "a.slice/zt-unit-probe.service\n");
	zt_freep(&paths);
}

static void too_many(void **state)
{
	char name[251], path[1024], *paths = NULL;

	(void)state;
	if (!mount_path)
		skip();
	memset(name, 'x', sizeof(name));
	for (int round = 0; round < 2; round++)
		for (int i = 0; i < 300; i++) {
			(void)snprintf(name + 232, sizeof(name) - 232, "@%d.service", i);
			(void)snprintf(path, sizeof(path), "%s/%s/%s", mount_path, top, name);
			assert_int_equal(round ? rmdir(path) : mkdir(path, 0755), 0);
			if (round || i < 299)
				continue;
			name[233] = '\0';
			assert_int_equal(zt_service_cgroups(top, name, &paths), -E2BIG);
			assert_null(paths);
		}
}

/* A group of that name in a delegated group is not the service, and must not become it while it is stopped. */
static void impostors(void **state)
{
	char *path = NULL;

	(void)state;
	if (!mount_path)
		skip();
	assert_int_equal(zt_service_cgroup(top, "zt-unit-fake", &path), -ENOENT);
	assert_string_equal(path, "system.slice/zt-unit-fake.service");
	zt_freep(&path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mount_tables), cmocka_unit_test(lookups),   cmocka_unit_test(services),
		cmocka_unit_test(templates),	cmocka_unit_test(impostors), cmocka_unit_test(too_many),
	};

	return cmocka_run_group_tests(tests, make_tree, drop_tree);
}
