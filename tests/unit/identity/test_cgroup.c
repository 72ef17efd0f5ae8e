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

static const char *const folders[] = {"", "a.slice", "a.slice/zt-unit-probe.service",
				      "a.slice/zt-unit-probe.service/sub"};

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
	(void)snprintf(want, sizeof(want), "%s/a.slice/zt-unit-probe.service", top);
	assert_int_equal(zt_service_cgroup("zt-unit-probe", &path),
			 0); /* runs in a slice of its own: found by its name */
	assert_string_equal(path, want);
	zt_freep(&path);
	assert_int_equal(zt_service_cgroup("zt-unit-probe.service", &path), 0);
	assert_string_equal(path, want);
	zt_freep(&path);
	assert_int_equal(zt_service_cgroup("zt-unit-prob", &path), -ENOENT);
	assert_string_equal(path, "system.slice/zt-unit-prob.service");
	zt_freep(&path);
	assert_int_equal(zt_service_cgroup("zt-unit@x-y.service", &path), -ENOENT);
	assert_string_equal(path, "system.slice/system-zt\\x2dunit.slice/zt-unit@x-y.service");
	zt_freep(&path);
	assert_int_equal(zt_service_cgroup("zt-unit-none.socket", &path), -ENOENT);
	assert_string_equal(path, "system.slice/zt-unit-none.socket");
	zt_freep(&path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mount_tables),
		cmocka_unit_test(lookups),
		cmocka_unit_test(services),
	};

	return cmocka_run_group_tests(tests, make_tree, drop_tree);
}
