/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Port detection on trees of files: {path, text} pairs below a root. */
#include "common.h"

#include <sys/stat.h>

struct file {
	const char *path, *text;
};

static void put(const char *root, const struct file *f)
{
	ZT_FREE char *path = zt_asprintf("%s%s", root, f->path);
	char *slash = strrchr(path, '/');

	*slash = '\0';
	assert_int_equal(zt_mkdir_p(path, 0755), 0);
	*slash = '/';
	assert_int_equal(zt_file_write_atomic(path, f->text, strlen(f->text), 0644), 0);
}

static void assert_ports(const struct file *files, const char *want)
{
	ZT_CLEANUP(zt_u32_ranges_done) struct zt_u32_ranges ports = {0};
	ZT_STRBUF struct zt_strbuf text = {0};
	struct room r;

	room_open(&r);
	for (; files->path; files++)
		put(r.dir, files);
	assert_int_equal(zt_ssh_ports(r.dir, &ports), 0);
	for (size_t i = 0; i < ports.n; i++)
		for (uint32_t port = ports.v[i].lo; port <= ports.v[i].hi; port++)
			zt_strbuf_printf(&text, "%s%u", text.len ? "," : "", port);
	assert_string_equal(zt_strbuf_cstr(&text), want);
	room_close(&r);
}
#define PORTS(want, ...) assert_ports((const struct file[]){__VA_ARGS__ __VA_OPT__(, ){NULL, NULL}}, want)
#define CONFIG "/etc/ssh/sshd_config"

static void test_config(void **state)
{
	(void)state;
	PORTS("22");
	PORTS("22", {CONFIG, ""});
	PORTS("22", {CONFIG, "#Port 2222\n"});
	PORTS("2222", {CONFIG, "Port 2222\n"});
	PORTS("2222", {CONFIG, "  pOrT\t=\t\"2222\"\r\n"});
	PORTS("22,2222", {CONFIG, "Port 22\nPort 2222\n"});
	PORTS("22", {CONFIG, "Port 0\nPort 70000\nPort ssh\n"});
	PORTS("2222", {CONFIG, "Port 2222\nMatch User x\nPort 3333\n"});
	PORTS("2222", {CONFIG, "Port 2222"});
}

static void test_listen_address(void **state)
{
	(void)state;
	PORTS("2222", {CONFIG, "ListenAddress 192.0.2.1:2222\n"});
	PORTS("2222", {CONFIG, "ListenAddress [2001:db8::1]:2222\n"});
	PORTS("22", {CONFIG, "ListenAddress 2001:db8::1\n"});
	PORTS("22", {CONFIG, "ListenAddress [2001:db8::1]\n"});
	PORTS("22,2222", {CONFIG, "ListenAddress 192.0.2.1\nListenAddress 192.0.2.2:2222\n"});
	PORTS("2222,3333", {CONFIG, "Port 3333\nListenAddress 192.0.2.1\nListenAddress 192.0.2.2:2222\n"});
}

static void test_include(void **state)
{
	(void)state;
	PORTS("2222", {CONFIG, "Include /etc/ssh/sshd_config.d/*.conf\n"},
	      {"/etc/ssh/sshd_config.d/a.conf", "Port 2222\n"});
	PORTS("2222", {CONFIG, "Include sshd_config.d/*.conf\n"}, {"/etc/ssh/sshd_config.d/a.conf", "Port 2222\n"});
	PORTS("1,2", {CONFIG, "Include a b\n"}, {"/etc/ssh/a", "Port 1\n"}, {"/etc/ssh/b", "Port 2\n"});
	PORTS("2222", {CONFIG, "Include sshd_config\nPort 2222\n"}); /* itself, without end */
	PORTS("2222", {CONFIG, "Include none*\nPort 2222\n"});
	/* A Match in an included file ends there. */
	PORTS("1,2", {CONFIG, "Include a\nPort 2\n"}, {"/etc/ssh/a", "Port 1\nMatch User x\n"});
}

static void test_socket(void **state)
{
	(void)state;
	PORTS("2222", {"/etc/systemd/system/ssh.socket", "[Socket]\nListenStream=2222\n"});
	PORTS("2222,3333",
	      {"/etc/systemd/system/ssh.socket", "[Socket]\nListenStream=0.0.0.0:2222\nListenStream=[::]:3333\n"});
	PORTS("2222", {"/etc/systemd/system/ssh.socket.d/port.conf", "[Socket]\nListenStream=\nListenStream=2222\n"});
	PORTS("22", {"/etc/systemd/system/ssh.socket.d/port.conf", "[Socket]\nListenStream=/run/ssh\n"});
	/* Switched on as the package ships it, while sshd_config says something else: the socket is what listens. */
	PORTS("22,2222", {CONFIG, "Port 2222\n"}, {"/usr/lib/systemd/system/ssh.socket", "[Socket]\nListenStream=22\n"},
	      {"/etc/systemd/system/sockets.target.wants/ssh.socket", ""});
	PORTS("2222", {CONFIG, "Port 2222\n"}, {"/usr/lib/systemd/system/ssh.socket", "[Socket]\nListenStream=22\n"});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_config),
		cmocka_unit_test(test_listen_address),
		cmocka_unit_test(test_include),
		cmocka_unit_test(test_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
