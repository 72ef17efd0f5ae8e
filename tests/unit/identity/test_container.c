/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>

#include "fixture.h"
#include "identity/internal.h"

#define A16 "0123456789abcdef"
#define ID_A   \
	"aaaa" \
	"000000000000" A16 A16 A16
#define ID_B   \
	"bbbb" \
	"000000000000" A16 A16 A16
#define ID_C   \
	"cccc" \
	"000000000000" A16 A16 A16
#define CGROUP "sys/fs/cgroup/"

static void expect_cgroup(void **state, const char *name, const char *cgroup)
{
	ZT_FREE char *path = NULL;

	assert_int_equal(zt_container_cgroup(*state, name, &path), 0);
	assert_string_equal(path, cgroup);
}

static void expect_error(void **state, const char *name, int error)
{
	char *path = NULL;

	assert_int_equal(zt_container_cgroup(*state, name, &path), error);
	assert_null(path);
}

/* The only container there is. */
static void expect_one(void **state, const char *runtime, const char *id, const char *name, const char *cgroup)
{
	struct zt_container *c = NULL;
	size_t n = 0;

	assert_int_equal(zt_containers_list(*state, &c, &n), 0);
	assert_int_equal(n, 1);
	assert_string_equal(c->runtime, runtime);
	assert_string_equal(c->id, id);
	assert_string_equal(c->cgroup, cgroup);
	if (name)
		assert_string_equal(c->name, name);
	else
		assert_null(c->name);
	zt_containers_free(c, n);
}

static size_t count(void **state)
{
	struct zt_container *c = NULL;
	size_t n = 77;

	assert_int_equal(zt_containers_list(*state, &c, &n), 0);
	zt_containers_free(c, n);
	return n;
}

/* Every shape alone: found by the name of its cgroup without any state file. */
static void test_shapes(void **state)
{
	static const struct {
		const char *cgroup, *runtime, *id;
	} shapes[] = {
		{"system.slice/docker-" ID_A ".scope", "docker", ID_A},
		{"docker/" ID_A, "docker", ID_A},
		{"machine.slice/libpod-" ID_A ".scope", "podman", ID_A},
		{"libpod_parent/libpod-" ID_A, "podman", ID_A},
		{"system.slice/cri-containerd-" ID_A ".scope", "containerd", ID_A},
		{"kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1_2.slice/cri-containerd-" ID_A
		 ".scope",
		 "containerd", ID_A},
		{"kubepods/besteffort/pod1-2/" ID_A, "containerd", ID_A},
		{"system.slice/kubepods-pod1.slice:cri-containerd:" ID_A, "containerd", ID_A},
		{"kubepods.slice/kubepods-pod1.slice/crio-" ID_A ".scope", "cri-o", ID_A},
		{"system.slice/nerdctl-" ID_A ".scope", "containerd", ID_A},
		{"user.slice/user-0.slice/crun-web.scope", "crun", "web"},
		{"system.slice/runc-db_1.scope", "runc", "db_1"},
	};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(shapes); i++) {
		ZT_FREE char *folder = zt_asprintf(CGROUP "%s", shapes[i].cgroup), *tree = below_tree(state, "sys");

		put_folder(state, folder);
		expect_one(state, shapes[i].runtime, shapes[i].id, NULL, shapes[i].cgroup);
		expect_cgroup(state, shapes[i].id, shapes[i].cgroup);
		assert_int_equal(zt_remove_tree(tree), 0);
	}
}

static void test_what_is_none(void **state)
{
	static const char *const others[] = {
		"system.slice/docker.service",
		"system.slice/docker-.scope",
		"system.slice/docker-abc.scope",
		"machine.slice/libpod-conmon-" ID_A ".scope",
		"system.slice/" ID_A,
		"docker/" ID_A "0",
		"system.slice/mydocker/" ID_A,
		"docker",
		"system.slice/crun-.scope",
		"system.slice/cri-containerd-AAAA.scope",
	};

	for (size_t i = 0; i < ZT_ARRAY_SIZE(others); i++) {
		ZT_FREE char *folder = zt_asprintf(CGROUP "%s", others[i]);

		put_folder(state, folder);
	}
	put(state, CGROUP "system.slice/cgroup.procs", "");
	assert_int_equal(count(state), 0);
	expect_error(state, ID_A, -ENOENT);
}

static void test_nothing_there(void **state)
{
	assert_int_equal(count(state), 0);
	expect_error(state, "web", -ENOENT);
	expect_error(state, "", -ENOENT);
}

static void test_docker(void **state)
{
	put_folder(state, CGROUP "system.slice/docker-" ID_A ".scope/init.scope");
	put_folder(state, CGROUP "my-parent/" ID_B); /* --cgroup-parent: known by docker's file only */
	put(state, "var/lib/docker/containers/" ID_A "/config.v2.json",
	    "{\"ID\":\"" ID_A "\",\"Name\":\"/web\",\"State\":{\"Running\":true}}");
	put(state, "var/lib/docker/containers/" ID_B "/config.v2.json", "{\"ID\":\"" ID_B "\",\"Name\":\"/db\"}");
	put(state, "var/lib/docker/containers/" ID_C "/config.v2.json", "{\"ID\":\"" ID_C "\",\"Name\":\"/stopped\"}");
	assert_int_equal(count(state), 2);
	expect_cgroup(state, "web", "system.slice/docker-" ID_A ".scope");
	expect_cgroup(state, ID_A, "system.slice/docker-" ID_A ".scope");
	expect_cgroup(state, "aaaa0000", "system.slice/docker-" ID_A ".scope");
	expect_cgroup(state, "db", "my-parent/" ID_B);
	expect_error(state, "aaaa000", -ENOENT); /* too short a prefix */
	expect_error(state, "stopped", -ENOENT);
	expect_error(state, "/web", -ENOENT);
	expect_error(state, "we", -ENOENT);
}

static void test_podman(void **state)
{
	put_folder(state, CGROUP "unified/machine.slice/libpod-" ID_A ".scope/container"); /* a hybrid host */
	put_folder(state, CGROUP "machine.slice/libpod-" ID_B ".scope");
	put(state, "var/lib/containers/storage/overlay-containers/containers.json",
	    "[{\"id\":\"" ID_A "\",\"names\":[\"web\",\"web2\"],\"image\":\"x\"},{\"id\":\"" ID_C
	    "\",\"names\":[\"off\"]},7]");
	/* podman's runtime has its own file, called by the id */
	put(state, "run/crun/" ID_A "/status",
	    "{\"pid\":1,\"cgroup-path\":\"/machine.slice/libpod-" ID_A ".scope/container\"}");
	expect_one(state, "podman", ID_A, "web", "machine.slice/libpod-" ID_A ".scope");
	expect_cgroup(state, "web", "machine.slice/libpod-" ID_A ".scope");
	expect_error(state, "off", -ENOENT);
}

static void test_containerd(void **state)
{
	const char *task = "run/containerd/io.containerd.runtime.v2.task/";
	ZT_FREE char *pod = zt_asprintf("%sk8s.io/" ID_A "/config.json", task),
		     *nerd = zt_asprintf("%sdefault/" ID_B "/config.json", task);

	put_folder(state, CGROUP "kubepods/burstable/podx/" ID_A);
	put_folder(state, CGROUP "default/" ID_B);
	put(state, pod,
	    "{\"annotations\":{\"io.kubernetes.cri.sandbox-name\":\"shop-7d\",\"io.kubernetes.cri.container-name\":\"web\"},"
	    "\"linux\":{\"cgroupsPath\":\"/kubepods/burstable/podx/" ID_A "\"}}");
	put(state, nerd,
	    "{\"annotations\":{\"nerdctl/name\":\"cache\"},\"linux\":{\"cgroupsPath\":\"/default/" ID_B "\"}}");
	assert_int_equal(count(state), 2);
	expect_cgroup(state, "shop-7d/web", "kubepods/burstable/podx/" ID_A);
	expect_cgroup(state, "cache", "default/" ID_B);
	expect_error(state, "web", -ENOENT);
}

static void test_crun_and_runc(void **state)
{
	put_folder(state, CGROUP "c1");
	put_folder(state, CGROUP "deep/er/c2");
	put_folder(state, CGROUP "c3");
	put(state, "run/crun/c1/status", "{\"pid\":12,\"cgroup-path\":\"/c1\",\"rootfs\":\"/x\"}");
	put(state, "run/runc/c2/state.json",
	    "{\"id\":\"c2\",\"init_process_pid\":1,\"cgroup_paths\":{\"\":\"/sys/fs/cgroup/deep/er/c2\"}}");
	put(state, "run/runc/c3/state.json",
	    "{\"id\":\"c3\",\"cgroup_paths\":{\"memory\":\"/sys/fs/cgroup/memory/c3\"},"
	    "\"config\":{\"cgroups\":{\"path\":\"/c3\"}}}");
	put(state, "run/crun/ended/status", "{\"pid\":12,\"cgroup-path\":\"/ended\"}"); /* its cgroup is gone */
	assert_int_equal(count(state), 3);
	expect_cgroup(state, "c1", "c1");
	expect_cgroup(state, "c2", "deep/er/c2");
	expect_cgroup(state, "c3", "c3");
	expect_error(state, "ended", -ENOENT);
}

/* Ids that people choose: two in one cgroup, and one id at two runtimes. */
static void test_same_words(void **state)
{
	put_folder(state, CGROUP "shared");
	put_folder(state, CGROUP "a/web");
	put_folder(state, CGROUP "b/web");
	put(state, "run/crun/one/status", "{\"cgroup-path\":\"/shared\"}");
	put(state, "run/crun/two/status", "{\"cgroup-path\":\"/shared\"}");
	put(state, "run/crun/web/status", "{\"cgroup-path\":\"/a/web\"}");
	put(state, "run/runc/web/state.json", "{\"id\":\"web\",\"cgroup_paths\":{\"\":\"/sys/fs/cgroup/b/web\"}}");
	assert_int_equal(count(state), 4);
	expect_cgroup(state, "one", "shared");
	expect_cgroup(state, "two", "shared");
	expect_error(state, "web", -EEXIST);
}

/* What a container does inside its own cgroup makes no other container. */
static void test_inside_a_container(void **state)
{
	put_folder(state, CGROUP "system.slice/docker-" ID_A ".scope/system.slice/docker-" ID_B ".scope");
	put(state, "var/lib/docker/containers/" ID_B "/config.v2.json", "{\"ID\":\"" ID_B "\",\"Name\":\"/db\"}");
	assert_int_equal(count(state), 1);
	expect_error(state, "db", -ENOENT);
	expect_error(state, ID_B, -ENOENT);
}

/* Users may name their cgroups as they like: the container of the system is the one that is meant. */
static void test_users(void **state)
{
	const char *own = "user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID_A ".scope";
	ZT_FREE char *folder = zt_asprintf(CGROUP "%s", own),
		     *fake = zt_asprintf(CGROUP "user.slice/user-1000.slice/docker-" ID_B ".scope");

	put_folder(state, folder);
	put_folder(state, fake);
	put_folder(state, CGROUP "system.slice/docker-" ID_B ".scope");
	put_folder(state, CGROUP "system.slice/docker-" ID_C ".scope");
	put(state, "var/lib/docker/containers/" ID_B "/config.v2.json", "{\"ID\":\"" ID_B "\",\"Name\":\"/db\"}");
	put(state, "etc/passwd", "root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n");
	put_folder(state, "run/user/1000");
	put(state, "home/ann/.local/share/containers/storage/overlay-containers/containers.json",
	    "[{\"id\":\"" ID_A "\",\"names\":[\"mine\"]},{\"id\":\"" ID_C "\",\"names\":[\"stolen\"]}]");
	put(state, "run/user/1000/crun/evil/status", "{\"cgroup-path\":\"/system.slice\"}");
	expect_cgroup(state, "mine", own);
	expect_cgroup(state, ID_B, "system.slice/docker-" ID_B ".scope");
	expect_cgroup(state, "db", "system.slice/docker-" ID_B ".scope");
	expect_error(state, "stolen", -ENOENT);
	expect_error(state, "evil", -ENOENT);
}

/* A service that was given its own subtree (Delegate=yes) and runs as somebody else. */
static void test_delegated(void **state)
{
	ZT_FREE char *service = below_tree(state, CGROUP "system.slice/app.service");

	if (geteuid())
		skip();
	put_folder(state, CGROUP "system.slice/app.service/docker-" ID_A ".scope");
	assert_int_equal(chown(service, 1000, 1000), 0);
	expect_cgroup(state, ID_A, "system.slice/app.service/docker-" ID_A ".scope");
	put_folder(state, CGROUP "docker/" ID_A);
	expect_cgroup(state, ID_A, "docker/" ID_A);
}

static void test_ambiguous(void **state)
{
	put_folder(state, CGROUP "system.slice/docker-" ID_A ".scope");
	put_folder(state, CGROUP "machine.slice/libpod-" ID_B ".scope");
	put_folder(state, CGROUP "machine.slice/libpod-"
				 "aaaa"
				 "000000000000" A16 A16 "fedcba9876543210.scope");
	put(state, "var/lib/docker/containers/" ID_A "/config.v2.json", "{\"ID\":\"" ID_A "\",\"Name\":\"/web\"}");
	put(state, "var/lib/containers/storage/overlay-containers/containers.json",
	    "[{\"id\":\"" ID_B "\",\"names\":[\"web\"]}]");
	expect_error(state, "web", -EEXIST);
	expect_error(state, "aaaa0000", -EEXIST);
	expect_cgroup(state, ID_A, "system.slice/docker-" ID_A ".scope");
	expect_cgroup(state, "bbbb0000", "machine.slice/libpod-" ID_B ".scope");
}

/* Broken or hostile files are passed over; what is right beside them still counts. */
static void test_bad_files(void **state)
{
	static const char *const bad[] = {
		"",
		"{",
		"[]",
		"null",
		"\"x\"",
		"{\"cgroup-path\":7}",
		"{\"cgroup-path\":\"\"}",
		"{\"cgroup-path\":\"/\"}",
		"{\"cgroup-path\":\"/../../etc\"}",
		"{\"cgroup-path\":\"/c1/../c1\"}",
		"{\"cgroup-path\":\"/./c1\"}",
		"{\"cgroup-path\":\"c1\\u001b[31m\"}",
		"{\"cgroup-path\":\"/c1\",\"cgroup-path\":\"/c1\"}",
		"\xff\xfe",
	};
	ZT_FREE char *big = malloc((size_t)5 << 20), *fifo = below_tree(state, "run/crun/fifo/status");

	put_folder(state, CGROUP "c1");
	put_folder(state, CGROUP "good");
	for (size_t i = 0; i < ZT_ARRAY_SIZE(bad); i++) {
		ZT_FREE char *file = zt_asprintf("run/crun/b%zu/status", i);

		put(state, file, bad[i]);
	}
	memset(big, ' ', (size_t)5 << 20);
	memcpy(big, "{\"cgroup-path\":\"/c1\"}", 21);
	put_bytes(state, "run/crun/big/status", big, (size_t)5 << 20);
	put_folder(state, "run/crun/fifo");
	assert_int_equal(mkfifo(fifo, 0600), 0);
	put_folder(state, "run/crun/folder/status");
	put(state, "run/crun/esc\033[2J/status", "{\"cgroup-path\":\"/c1\"}");
	put(state, "run/runc/x/state.json", "{\"id\":\"../x\",\"config\":{\"cgroups\":{\"path\":\"/c1\"}}}");
	put(state, "run/crun/good/status", "{\"cgroup-path\":\"//good/\"}");
	expect_one(state, "crun", "good", "good", "good");
}

static void test_bad_names(void **state)
{
	put_folder(state, CGROUP "docker/" ID_A);
	put(state, "var/lib/docker/containers/" ID_A "/config.v2.json", "{\"ID\":\"" ID_A "\",\"Name\":\"/we\\nb\"}");
	expect_one(state, "docker", ID_A, NULL, "docker/" ID_A);
	assert_false(zt_container_name_ok(""));
	assert_false(zt_container_name_ok("a\tb"));
	assert_false(zt_container_name_ok("a\x7f"));
	assert_false(zt_container_name_ok("\xc3"));
	assert_true(zt_container_name_ok("caf\xc3\xa9 1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_shapes, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_what_is_none, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_nothing_there, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_docker, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_podman, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_containerd, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_crun_and_runc, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_same_words, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_inside_a_container, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_users, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_delegated, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_ambiguous, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_bad_files, make_tree, drop_tree),
		cmocka_unit_test_setup_teardown(test_bad_names, make_tree, drop_tree),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
