/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Many open files of kinds that a restore makes together: sockets, pairs of sockets, terminals. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

static struct workload_param object_params[] = {
	{ "n", 100, "how many of each kind" },
	{ "kinds", 15, "1: pairs, 2: UDP sockets, 4: listeners, 8: terminals; and sums" },
	{ "back", 0, "1: the first terminals have the last descriptors" },
	{ 0 },
};

/* One of each kind. */
struct set {
	int pair[2];  /* stream sockets; a byte waits in the second */
	int udp;      /* has a port */
	int listener; /* has a file */
	int master, slave;
	in_port_t port;
};

static struct set *sets;

static int pair_setup(long i, struct set *s)
{
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, s->pair) < 0 || write(s->pair[0], &i, 1) != 1)
		return fail_errno("pair %ld", i);
	return WL_OK;
}

static int udp_setup(long i, struct set *s)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);

	s->udp = socket(AF_INET, SOCK_DGRAM, 0);
	if (s->udp < 0 || bind(s->udp, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    getsockname(s->udp, (struct sockaddr *)&a, &len) < 0)
		return fail_errno("UDP socket %ld", i);
	s->port = a.sin_port;
	return WL_OK;
}

static int listener_setup(long i, struct set *s)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };

	snprintf(name.sun_path, sizeof(name.sun_path), "socket-%ld", i);
	s->listener = socket(AF_UNIX, SOCK_STREAM, 0);
	unlink(name.sun_path);
	if (s->listener < 0 || bind(s->listener, (struct sockaddr *)&name, sizeof(name)) < 0 ||
	    listen(s->listener, 1) < 0)
		return fail_errno("listener %ld", i);
	return WL_OK;
}

/* Both to numbers above all others; the later the terminal, the lower. */
static int move_back(long i, struct set *s)
{
	int to = (int)(param("n", 100) * 8 - 2 * i);

	if (dup2(s->master, to) < 0 || dup2(s->slave, to + 1) < 0)
		return fail_errno("moving terminal %ld", i);
	close(s->master);
	close(s->slave);
	s->master = to;
	s->slave = to + 1;
	return WL_OK;
}

static int terminal_setup(long i, struct set *s)
{
	struct winsize size = { .ws_row = (unsigned short)i, .ws_col = 7 };
	char name[64];

	s->master = posix_openpt(O_RDWR | O_NOCTTY);
	if (s->master < 0 || grantpt(s->master) < 0 || unlockpt(s->master) < 0 ||
	    ptsname_r(s->master, name, sizeof(name)) != 0)
		return fail_errno("terminal %ld", i);
	s->slave = open(name, O_RDWR | O_NOCTTY);
	if (s->slave < 0 || ioctl(s->master, TIOCSWINSZ, &size) < 0)
		return fail_errno("the slave of terminal %ld", i);
	return param("back", 0) ? move_back(i, s) : WL_OK;
}

static int pair_verify(long i, const struct set *s)
{
	char byte = (char)i, got = (char)~i;

	if (recv(s->pair[1], &got, 1, MSG_DONTWAIT) != 1 || got != byte ||
	    write(s->pair[0], &byte, 1) != 1)
		return fail("pair %ld: its byte is gone", i);
	return WL_OK;
}

static int udp_verify(long i, const struct set *s)
{
	struct sockaddr_in a;
	socklen_t len = sizeof(a);

	if (getsockname(s->udp, (struct sockaddr *)&a, &len) < 0 || a.sin_port != s->port)
		return fail("UDP socket %ld has another port", i);
	return WL_OK;
}

static int listener_verify(long i, const struct set *s)
{
	struct sockaddr_un name;
	socklen_t len = sizeof(name);
	char want[32];

	snprintf(want, sizeof(want), "socket-%ld", i);
	if (getsockname(s->listener, (struct sockaddr *)&name, &len) < 0 ||
	    strcmp(name.sun_path, want) != 0)
		return fail("listener %ld has another name", i);
	return WL_OK;
}

static int terminal_verify(long i, const struct set *s)
{
	struct winsize size = { 0 };
	unsigned int master = 0, slave = 1;

	if (ioctl(s->slave, TIOCGWINSZ, &size) < 0 || size.ws_row != (unsigned short)i)
		return fail("terminal %ld has %u rows", i, size.ws_row);
	if (ioctl(s->master, TIOCGDEV, &master) < 0 || ioctl(s->slave, TIOCGDEV, &slave) < 0 ||
	    master != slave)
		return fail("terminal %ld: its two sides belong to different ones", i);
	return WL_OK;
}

static const struct {
	int (*setup)(long i, struct set *s);
	int (*verify)(long i, const struct set *s);
} kinds[] = {
	{ pair_setup, pair_verify },
	{ udp_setup, udp_verify },
	{ listener_setup, listener_verify },
	{ terminal_setup, terminal_verify },
};

static bool is_wanted(size_t kind)
{
	return param("kinds", 15) & 1L << kind;
}

static int objects_setup(void)
{
	long n = param("n", 100), i;
	struct rlimit rl;
	size_t k;

	getrlimit(RLIMIT_NOFILE, &rl);
	if (rl.rlim_max < (rlim_t)n * 8 + 50)
		return skip("only %llu descriptors are allowed", (unsigned long long)rl.rlim_max);
	rl.rlim_cur = rl.rlim_max;
	setrlimit(RLIMIT_NOFILE, &rl);
	sets = calloc((size_t)n, sizeof(*sets));
	if (!sets)
		return fail_errno("calloc");
	for (i = 0; i < n; i++)
		for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
			if (is_wanted(k) && kinds[k].setup(i, &sets[i]) != WL_OK)
				return WL_FAIL;
	return WL_OK;
}

static int objects_verify(void)
{
	size_t k;
	long i;

	for (i = 0; i < param("n", 100); i++)
		for (k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
			if (is_wanted(k) && kinds[k].verify(i, &sets[i]) != WL_OK)
				return WL_FAIL;
	return WL_OK;
}

const struct workload many_object_workloads[] = {
	{ "many-objects", "sockets, pairs and terminals, many of each", object_params,
	  objects_setup, objects_verify },
	{ 0 },
};
