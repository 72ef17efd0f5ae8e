/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes storms for tests/e2e/daemon-storm.test:
 *   storm exec N JOBS        N programs (this one again, which ends at once) from JOBS processes; prints their number a second
 *   storm connect PORT       one connection to 127.0.0.1, closed
 *   storm each N PORT        N processes after another, each of which connects; prints their numbers
 *   storm flood MSEC PORT    connects as fast as it can; prints how many
 *   storm again PORT UID EXE...   for each EXE in turn a process with the same number, as user UID, UID + 1, …: EXE connect PORT; prints the number
 *   storm loop KIND MSEC     exec, connect or open in a loop; prints the nanoseconds of the median one
 *   storm dns RATE MSEC      messages to port 53 of 127.0.0.1, so many a second (0: as fast as it can); prints how many
 *                            were sent; what is received is not read
 * Exit status 0; 1: usage or a failed call, 77: the kernel gives no chosen number.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	(void)clock_gettime(CLOCK_MONOTONIC, &t); /* cannot fail */
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int once(int port)
{
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = fd < 0 ? -1 : connect(fd, (struct sockaddr *)&a, sizeof(a));

	if (fd >= 0)
		(void)close(fd);
	return r;
}

static int exec_once(void)
{
	static char self[] = "/proc/self/exe", name[] = "storm";
	static char *argv[] = {name, NULL}, *none[] = {NULL};
	int status = 1;
	pid_t pid = vfork();

	if (!pid) {
		(void)execve(self, argv, none);
		_exit(127);
	}
	return pid < 0 || waitpid(pid, &status, 0) < 0 || status;
}

static int execs(int n)
{
	int wrong = 0;

	for (int i = 0; i < n && !wrong; i++)
		wrong = exec_once();
	return wrong;
}

static int storm(int n, int jobs)
{
	double began = now();
	int status, wrong = 0;

	for (int j = 0; j < jobs; j++)
		if (!fork())
			_exit(execs(n / jobs));
	for (int j = 0; j < jobs; j++)
		wrong |= wait(&status) < 0 || status;
	printf("%.0f\n", n / (now() - began));
	return wrong;
}

static int each(int n, int port)
{
	int status;

	for (int i = 0; i < n; i++) {
		pid_t pid = fork();

		if (!pid)
			_exit(once(port) < 0);
		if (pid < 0 || waitpid(pid, &status, 0) < 0 || status)
			return 1;
		printf("%d\n", pid);
	}
	return 0;
}

static int flood(int msec, int port)
{
	double end = now() + msec / 1000.0;
	unsigned long n = 0, made = 0;

	for (; now() < end; n++)
		made += once(port) == 0;
	printf("%lu %lu\n", n, made);
	return 0;
}

static int again(int port, uint32_t uid, char **exe)
{
	char text[16], name[] = "storm", verb[] = "connect";
	char *argv[] = {name, verb, text, NULL}, *none[] = {NULL};
	pid_t number = 0;
	int status;

	(void)snprintf(text, sizeof(text), "%d", port);
	for (; *exe; exe++, uid++) {
		struct clone_args a = {.exit_signal = SIGCHLD,
				       .set_tid = number ? (uint64_t)(uintptr_t)&number : 0,
				       .set_tid_size = number ? 1 : 0};
		pid_t pid = (pid_t)syscall(SYS_clone3, &a, sizeof(a));

		if (!pid) {
			if (setgid(uid) == 0 && setuid(uid) == 0)
				(void)execve(*exe, argv, none);
			_exit(127);
		}
		if (pid < 0)
			return 77;
		if (waitpid(pid, &status, 0) < 0 || status)
			return 1;
		number = pid;
	}
	printf("%d\n", number);
	return 0;
}

/* ---- for tests/bench ---- */
enum { SAMPLES = 1 << 20 };

static int by_size(const void *a, const void *b)
{
	const float *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static int listener(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0), c;

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, len) < 0 || listen(fd, 1024) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		return -1;
	if (fork() == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* it ends with the loop */
		while ((c = accept(fd, NULL, NULL)) >= 0)
			(void)close(c);
		_exit(0);
	}
	(void)close(fd);
	return ntohs(a.sin_port);
}

static int one(const char *kind, int port)
{
	int fd;

	if (!strcmp(kind, "exec"))
		return exec_once();
	if (!strcmp(kind, "connect"))
		return once(port) < 0;
	fd = open("/usr/bin/env", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)close(fd);
	return fd < 0;
}

static int loop(const char *kind, int msec)
{
	float *v = calloc(SAMPLES, sizeof(*v));
	double end = now() + msec / 1000.0, at = now();
	int port = listener(), n = 0;

	if (!v || port < 0)
		return 1;
	while (at < end && n < SAMPLES) {
		double after;

		if (one(kind, port) && strcmp(kind, "connect") != 0)
			return 1;
		after = now();
		v[n++] = (float)((after - at) * 1e9);
		at = after;
	}
	qsort(v, (size_t)n, sizeof(*v), by_size);
	printf("%.0f\n", (double)v[n / 2]);
	free(v);
	return 0;
}

static int dns(double rate, int msec)
{
	static const char question[] = "\0\1\1\0\0\1\0\0\0\0\0\0\4shop\4test\0\0\1\0\1";
	struct sockaddr_in a = {
		.sin_family = AF_INET, .sin_port = htons(53), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_DGRAM, 0), receiver = socket(AF_INET, SOCK_DGRAM, 0);
	double began = now(), t = began;
	unsigned long n = 0;

	if (fd < 0 || bind(receiver, (struct sockaddr *)&a, sizeof(a)) < 0)
		return 1;
	for (; t < began + msec / 1000.0; t = now()) {
		double due = rate > 0 ? (t - began) * rate : (double)(n + 100);

		while ((double)n < due)
			n += sendto(fd, question, sizeof(question) - 1, 0, (struct sockaddr *)&a, sizeof(a)) > 0;
		if (rate > 0)
			(void)usleep(200);
	}
	printf("%lu\n", n);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 2)
		return 0;
	if (argc == 4 && !strcmp(argv[1], "exec"))
		return storm(atoi(argv[2]), atoi(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "connect"))
		return once(atoi(argv[2])) < 0;
	if (argc == 4 && !strcmp(argv[1], "each"))
		return each(atoi(argv[2]), atoi(argv[3]));
	if (argc == 4 && !strcmp(argv[1], "flood"))
		return flood(atoi(argv[2]), atoi(argv[3]));
	if (argc > 4 && !strcmp(argv[1], "again"))
		return again(atoi(argv[2]), (uint32_t)atoi(argv[3]), argv + 4);
	if (argc == 4 && !strcmp(argv[1], "loop"))
		return loop(argv[2], atoi(argv[3]));
	if (argc == 4 && !strcmp(argv[1], "dns"))
		return dns(atof(argv[2]), atoi(argv[3]));
	return 1;
}
