/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Sinks: what arrives at real sockets. "test-event-sink print FORMAT" prints hostile records for sinks.py, which parses them with parsers that are not ours;
 * "sparse FORMAT" records that lack almost everything, and each word that has a meaning, for documents.py. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cmocka.h>

#include "base/file.h"
#include "event/sink.h"

/* Names as processes give them to themselves, to be taken for something else by whoever reads a log. */
static const char *const hostile[] = {
	"plain",
	"a\nMESSAGE=forged\nPRIORITY=0",
	"\"] forged [zt@32473 uid=\"0",
	"\\\"]\\",
	"]\n<10>1 2024-12-27T10:00:00Z host sshd - - - root logged in",
	"\",\"uid\":0,\"x\":\"",
	"\033[2J\033]0;title\007",
	"\xff\xfe\xc3\x28 \xed\xa0\x80",
	"gr\xc3\xbc\xc3\x9f \xf0\x9f\x94\xa5",
	"\xe2\x80\xae\xe2\x80\xa8",
	"=",
	" ",
	"\t",
	"\\",
	"]",
	"[",
	"%s%n%x",
	"${jndi:ldap://x}",
	"<script>",
	"'; DROP TABLE ordinary; --",
};

/* Every text field of the record is the hostile one, every number its place in the table. */
static void fill(struct zt_activity *a, enum zt_activity_kind kind, const char *text)
{
	zt_activity_init(a, kind, UINT64_C(1735293600123456));
	for (enum zt_field f = ZT_FIELD_kind + 1; f < ZT_FIELDS; f++) {
		const struct zt_field_info *info = zt_field_info(f);
		char *at = (char *)a + info->offset;
		uint64_t v = f;

		if (info->type == ZT_TYPE_TEXT) {
			zt_activity_text_(a, f, text, strlen(text));
			continue;
		}
		if (info->type == ZT_TYPE_ADDR)
			assert_int_equal(zt_addr_parse(f % 2 ? "2001:db8::7" : "10.0.0.1", (struct zt_addr *)at), 0);
		else
			memcpy(at, &v, info->size);
		a->has |= UINT64_C(1) << f;
	}
}

static int print(const char *format)
{
	int f = zt_sink_format_find(format);
	struct zt_activity a;

	if (f < 0)
		return 2;
	for (enum zt_activity_kind k = 0; k < ZT_ACTIVITY_KINDS; k++)
		for (size_t i = 0; i < ZT_ARRAY_SIZE(hostile); i++) {
			ZT_STRBUF struct zt_strbuf b = {0};

			fill(&a, k, hostile[i]);
			if (zt_sink_text((enum zt_sink_format)f, &a, "host.example", 7, &b) < 0)
				return 1;
			puts(zt_strbuf_cstr(&b));
		}
	return 0;
}

static void print_one(enum zt_sink_format f, const struct zt_activity *a)
{
	ZT_STRBUF struct zt_strbuf b = {0};

	assert_int_equal(zt_sink_text(f, a, "", 0, &b), 0);
	puts(zt_strbuf_cstr(&b));
}

static int print_sparse(const char *format)
{
	static const struct {
		enum zt_field field;
		const char *word;
	} words[] = {{ZT_FIELD_verdict, "allow"},
		     {ZT_FIELD_verdict, "observe"},
		     {ZT_FIELD_verdict, "reject"},
		     {ZT_FIELD_verdict, "drop"},
		     {ZT_FIELD_direction, "egress"},
		     {ZT_FIELD_direction, "ingress"},
		     {ZT_FIELD_direction, "unix"},
		     {ZT_FIELD_rcode, "NOERROR"},
		     {ZT_FIELD_rcode, "NXDOMAIN"},
		     {ZT_FIELD_rcode, "RCODE9"},
		     {ZT_FIELD_path, "/"},
		     {ZT_FIELD_path, "@name"},
		     {ZT_FIELD_answers, "10.0.0.1 other.example 2001:db8::1"},
		     {ZT_FIELD_request, "process_vm_writev"}};
	int f = zt_sink_format_find(format);
	struct zt_activity whole, a;

	for (enum zt_activity_kind k = 0; k < ZT_ACTIVITY_KINDS && f >= 0; k++) {
		fill(&whole, k, "x");
		for (enum zt_field only = ZT_FIELD_kind; only < ZT_FIELDS; only++) {
			a = whole;
			a.has = UINT64_C(1) << ZT_FIELD_time | UINT64_C(1) << ZT_FIELD_kind | UINT64_C(1) << only;
			print_one((enum zt_sink_format)f, &a);
		}
		for (size_t i = 0; i < ZT_ARRAY_SIZE(words); i++) {
			a = whole;
			zt_activity_text_(&a, words[i].field, words[i].word, strlen(words[i].word));
			print_one((enum zt_sink_format)f, &a);
		}
	}
	return f < 0 ? 2 : 0;
}

static void forms(void **state)
{
	static const char *const want[ZT_FORMATS] = {
		[ZT_FORMAT_SYSLOG] =
			"<84>1 2024-12-27T10:00:00.000042Z h zt-segment - deny [zt@32473 pid=\"811\" exe=\"/bin/a\\]\\\"\\\\\" "
			"protocol=\"tcp\" dst=\"10.0.0.1\" dport=\"443\" verdict=\"drop\" rule=\"r\"] "
			"deny: /bin/a]\"\\[811] to 10.0.0.1:443/tcp, rule r",
		[ZT_FORMAT_JOURNALD] =
			"MESSAGE=deny: /bin/a]\"\\[811] to 10.0.0.1:443/tcp, rule r\nPRIORITY=4\nSYSLOG_IDENTIFIER=zt-segment\n"
			"ZT_TIME=2024-12-27T10:00:00.000042Z\nZT_KIND=deny\nZT_PID=811\nZT_EXE=/bin/a]\"\\\nZT_PROTOCOL=tcp\n"
			"ZT_DST=10.0.0.1\nZT_DPORT=443\nZT_VERDICT=drop\nZT_RULE=r\n",
		[ZT_FORMAT_ECS] =
			"{\"@timestamp\":\"2024-12-27T10:00:00.000042Z\",\"ecs\":{\"version\":\"8.11.0\"},\"event\":{\"type\":"
			"[\"connection\",\"denied\"],\"category\":[\"network\"],\"kind\":\"event\",\"module\":\"zt-segment\",\"dataset\":"
			"\"zt-segment.activity\",\"sequence\":5,\"action\":\"deny\",\"outcome\":\"failure\"},\"zt\":{\"verdict\":\"drop\"},"
			"\"host\":{\"name\":\"h\"},\"process\":{\"pid\":811,\"executable\":\"/bin/a]\\\"\\\\\"},\"network\":{\"transport\":"
			"\"tcp\"},\"destination\":{\"ip\":\"10.0.0.1\",\"port\":443},\"rule\":{\"name\":\"r\"}}",
		[ZT_FORMAT_OCSF] =
			"{\"time\":1735293600000,\"class_uid\":4001,\"category_uid\":4,\"activity_id\":5,\"type_uid\":400105,"
			"\"severity_id\":3,\"metadata\":{\"version\":\"1.5.0\",\"product\":{\"name\":\"zt-segment\",\"vendor_name\":"
			"\"zt-segment\",\"version\":\"" ZT_VERSION
			"\"},\"profiles\":[\"host\",\"security_control\"],\"sequence\":5},\"device\":{\"type_id\":0,\"hostname\":\"h\"},\"status_id\":2,"
			"\"unmapped\":{\"kind\":\"deny\",\"verdict\":\"drop\"},\"actor\":{\"process\":{\"pid\":811,\"file\":{\"path\":"
			"\"/bin/a]\\\"\\\\\",\"name\":\"a]\\\"\\\\\",\"type_id\":1}}},\"connection_info\":{\"protocol_name\":\"tcp\","
			"\"direction_id\":0,\"protocol_num\":6},\"dst_endpoint\":{\"ip\":\"10.0.0.1\",\"port\":443},\"disposition\":"
			"\"Blocked\",\"firewall_rule\":{\"name\":\"r\"},\"disposition_id\":2,\"action_id\":2}",
	};
	struct zt_activity a;

	(void)state;
	zt_activity_init(&a, ZT_ACTIVITY_DENY, UINT64_C(1735293600000042));
	zt_activity_set(&a, pid, 811);
	zt_activity_text(&a, exe, "/bin/a]\"\\", 9);
	zt_activity_set(&a, protocol, 6);
	assert_int_equal(zt_addr_parse("10.0.0.1", &a.dst), 0);
	a.has |= UINT64_C(1) << ZT_FIELD_dst;
	zt_activity_set(&a, dport, 443);
	zt_activity_text(&a, verdict, "drop", 4);
	zt_activity_text(&a, rule, "r", 1);
	for (enum zt_sink_format f = ZT_FORMAT_ECS; f < ZT_FORMATS; f++) {
		ZT_STRBUF struct zt_strbuf b = {0};

		assert_int_equal(zt_sink_text(f, &a, "h", 5, &b), 0);
		assert_string_equal(zt_strbuf_cstr(&b), want[f]);
	}
	for (enum zt_sink_format f = 0; f < ZT_FORMATS; f++)
		assert_int_equal(zt_sink_format_find(zt_sink_format_name(f)), f);
	assert_int_equal(zt_sink_format_find("xml"), -ENOENT);
}

/* Sent and received are the process's; source and destination are who began and who was reached. */
static void directions(void **state)
{
	ZT_STRBUF struct zt_strbuf b = {0};
	struct zt_activity a;

	(void)state;
	zt_activity_init(&a, ZT_ACTIVITY_CLOSE, 1);
	zt_activity_set(&a, bytes_sent, 10);
	zt_activity_set(&a, bytes_received, 20);
	zt_activity_text(&a, direction, "ingress", 7);
	assert_int_equal(zt_activity_ecs(&a, "", 0, &b), 0);
	assert_non_null(strstr(zt_strbuf_cstr(&b), "\"destination\":{\"bytes\":10}"));
	assert_non_null(strstr(zt_strbuf_cstr(&b), "\"source\":{\"bytes\":20}"));
	zt_strbuf_clear(&b);
	zt_activity_text(&a, direction, "egress", 6);
	assert_int_equal(zt_activity_ocsf(&a, "", 0, &b), 0);
	assert_non_null(strstr(zt_strbuf_cstr(&b), "\"traffic\":{\"bytes_out\":10,\"bytes_in\":20}"));
}

/* Every field alone, of every kind: whatever is missing, each form is made. */
static void alone(void **state)
{
	struct zt_activity whole, a;

	(void)state;
	for (enum zt_activity_kind k = 0; k < ZT_ACTIVITY_KINDS; k++) {
		fill(&whole, k, "x");
		for (enum zt_field f = ZT_FIELD_kind; f < ZT_FIELDS; f++)
			for (enum zt_sink_format form = 0; form < ZT_FORMATS; form++) {
				ZT_STRBUF struct zt_strbuf b = {0};

				a = whole;
				a.has = (UINT64_C(1) << ZT_FIELD_time) | (UINT64_C(1) << ZT_FIELD_kind) |
					(UINT64_C(1) << f);
				assert_int_equal(zt_sink_text(form, &a, "", 0, &b), 0);
				assert_null(strstr(zt_strbuf_cstr(&b), ":  "));
			}
	}
}

/* ---- sending ---- */
static char dir[64], path[96];

static int setup(void **state)
{
	(void)state;
	(void)strcpy(dir, "/tmp/zt-sink-XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	(void)snprintf(path, sizeof(path), "%s/socket", dir);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	return zt_remove_tree(dir);
}

static int listen_unix(void)
{
	struct sockaddr_un un = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)strcpy(un.sun_path, path);
	assert_int_equal(bind(fd, (struct sockaddr *)&un, sizeof(un)), 0);
	return fd;
}

static int listen_inet(int type, uint16_t *port)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_port = htons(*port)};
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&in, &len), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 5), 0);
	*port = ntohs(in.sin_port);
	return fd;
}

static struct zt_sink *sink(const char *fmt, ...) ZT_PRINTF(1, 2);
static struct zt_sink *sink(const char *fmt, ...)
{
	struct zt_sink *s = NULL;
	char to[160];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(to, sizeof(to), fmt, ap);
	va_end(ap);
	assert_int_equal(zt_sink_open(to, "h", &s, NULL), 0);
	return s;
}

static void datagrams(void **state)
{
	ZT_STRBUF struct zt_strbuf want = {0};
	struct zt_activity a;
	char got[65536];
	int fd = listen_unix();

	(void)state;
	fill(&a, ZT_ACTIVITY_EXEC, hostile[1]);
	for (unsigned i = 0; i < 2; i++) {
		struct zt_sink *s = i ? sink("syslog:unix:%s", path) : sink("journald:%s", path);
		ssize_t n;

		assert_int_equal(zt_sink_send(s, &a), 0);
		n = recv(fd, got, sizeof(got), MSG_DONTWAIT);
		zt_strbuf_clear(&want);
		assert_int_equal(zt_sink_text(i ? ZT_FORMAT_SYSLOG : ZT_FORMAT_JOURNALD, &a, "h", 0, &want), 0);
		assert_int_equal(n, want.len);
		assert_memory_equal(got, want.buf, want.len);
		for (unsigned k = 0; k < 5000 && zt_sink_lost(s) == 0; k++) /* nobody reads: it is full at last */
			(void)zt_sink_send(s, &a);
		assert_int_equal(zt_sink_lost(s), 1);
		while (recv(fd, got, sizeof(got), MSG_DONTWAIT) > 0)
			;
		zt_sink_close(s);
	}
	close(fd);
}

/* The kernel says that a datagram is too large: journald gets a sealed file. */
static void large(void **state)
{
	union {
		struct cmsghdr head;
		char space[CMSG_SPACE(sizeof(int))];
	} control = {0};
	struct msghdr m = {.msg_control = &control, .msg_controllen = sizeof(control)};
	ZT_STRBUF struct zt_strbuf want = {0};
	struct zt_sink *s = NULL;
	char text[600], *got = NULL;
	struct zt_activity a;
	size_t len = 0;
	int fd = listen_unix(), sent, probe;

	(void)state;
	probe = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); /* the number that the sink's socket will have */
	close(probe);
	s = sink("journald:%s", path);
	assert_int_equal(setsockopt(probe, SOL_SOCKET, SO_SNDBUF, &(int){1}, sizeof(int)), 0);
	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	fill(&a, ZT_ACTIVITY_EXEC, text);
	assert_int_equal(zt_sink_send(s, &a), 0);
	assert_int_equal(recvmsg(fd, &m, MSG_CMSG_CLOEXEC | MSG_DONTWAIT), 0);
	assert_int_equal(control.head.cmsg_type, SCM_RIGHTS);
	memcpy(&sent, CMSG_DATA(&control.head), sizeof(sent));
	assert_int_equal(fcntl(sent, F_GET_SEALS) & F_SEAL_WRITE, F_SEAL_WRITE);
	assert_int_equal(lseek(sent, 0, SEEK_SET), 0);
	assert_int_equal(zt_fd_read_all(sent, 1 << 20, &got, &len), 0);
	zt_activity_journald(&a, &want);
	assert_int_equal(len, want.len);
	assert_memory_equal(got, want.buf, len);
	free(got);
	close(sent);
	close(fd);
	zt_sink_close(s);
}

static void udp(void **state)
{
	uint16_t port = 0;
	int fd = listen_inet(SOCK_DGRAM, &port);
	struct zt_sink *s = sink("syslog:udp:127.0.0.1:%u", port);
	struct zt_activity a;
	char got[65536];

	(void)state;
	fill(&a, ZT_ACTIVITY_DENY, "x");
	assert_int_equal(zt_sink_send(s, &a), 0);
	assert_true(recv(fd, got, sizeof(got), 0) > 100);
	assert_memory_equal(got, "<84>1 2024-", 11);
	zt_sink_close(s);
	close(fd);
}

/* Reads whole frames "LEN TEXT"; how many. Every one must be the record. */
static unsigned frames(int fd, const struct zt_strbuf *want, unsigned n)
{
	FILE *f = fdopen(dup(fd), "r");
	char *text = malloc(want->len);
	unsigned i;

	for (i = 0; i < n; i++) {
		char digits[8] = "";

		for (unsigned k = 0; k < 7; k++) {
			int c = fgetc(f);

			if (c == EOF || c == ' ')
				break;
			digits[k] = (char)c;
		}
		if (!digits[0])
			break;
		assert_int_equal(strtoul(digits, NULL, 10), want->len);
		assert_int_equal(fread(text, 1, want->len, f), want->len);
		assert_memory_equal(text, want->buf, want->len);
	}
	free(text);
	fclose(f);
	return i;
}

/* The receiver goes away in the middle of a frame and comes back: from there on whole frames, and what is over the limit is counted. */
static void tcp(void **state)
{
	uint16_t port = 0;
	int fd = listen_inet(SOCK_STREAM, &port), c;
	struct zt_sink *s = sink("syslog:tcp:127.0.0.1:%u", port);
	ZT_STRBUF struct zt_strbuf want = {0};
	struct zt_activity a;
	unsigned sent = 0;
	char part[100];

	(void)state;
	fill(&a, ZT_ACTIVITY_DENY, "x");
	zt_activity_syslog(&a, "h", &want);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(zt_sink_send(s, &a), 0);
	assert_int_equal(zt_sink_flush(s, 1000), 0);
	c = accept(fd, NULL, NULL);
	assert_int_equal(frames(c, &want, 10), 10);
	while (zt_sink_send(s, &a) == 0) /* nobody reads */
		assert_true(++sent < 100000);
	assert_int_equal(zt_sink_lost(s), 1);
	assert_true(zt_sink_pending(s) <= ZT_SINK_BUFFER && zt_sink_pending(s) > ZT_SINK_BUFFER / 2);
	assert_int_equal(recv(c, part, sizeof(part), 0), sizeof(part));
	assert_int_equal(zt_sink_flush(s, 1), -ETIMEDOUT);
	close(c);
	close(fd); /* gone altogether */
	assert_true(zt_sink_flush(s, 50) < 0);
	assert_true(zt_sink_error(s) == -ECONNRESET || zt_sink_error(s) == -EPIPE || zt_sink_error(s) == -ECONNREFUSED);
	fd = listen_inet(SOCK_STREAM, &port);
	(void)usleep(1100000); /* the pause between two tries */
	(void)zt_sink_flush(s, 1);
	c = accept(fd, NULL, NULL);
	assert_int_equal(frames(c, &want, 20), 20);
	zt_sink_close(s);
	close(c);
	close(fd);
}

static void nowhere(void **state)
{
	static const char *const bad[] = {"",
					  "syslog",
					  "journald:",
					  "syslog:udp:localhost:514",
					  "syslog:udp:1.2.3.4",
					  "syslog:udp:1.2.3.4:0",
					  "syslog:tcp:[::1]",
					  "syslog:tcp:1.2.3.4:65536",
					  "file:/x"};
	struct zt_sink *s = NULL;

	(void)state;
	for (size_t i = 0; i < ZT_ARRAY_SIZE(bad); i++)
		assert_int_equal(zt_sink_open(bad[i], "h", &s, NULL), -EINVAL);
	assert_int_equal(zt_sink_open("syslog:tcp:[2001:db8::1]:601", "h", &s, NULL), 0);
	zt_sink_close(s);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest list[] = {
		cmocka_unit_test(forms),
		cmocka_unit_test(directions),
		cmocka_unit_test(alone),
		cmocka_unit_test_setup_teardown(datagrams, setup, teardown),
		cmocka_unit_test_setup_teardown(large, setup, teardown),
		cmocka_unit_test(udp),
		cmocka_unit_test(tcp),
		cmocka_unit_test(nowhere),
	};

	if (argc == 3 && !strcmp(argv[1], "print"))
		return print(argv[2]);
	if (argc == 3 && !strcmp(argv[1], "sparse"))
		return print_sparse(argv[2]);
	return cmocka_run_group_tests(list, NULL, NULL);
}
