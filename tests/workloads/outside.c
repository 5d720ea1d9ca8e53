/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unix sockets that are connected to a process outside of the tree. */
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/workloads/groups.h"

static struct {
	int sk, type;
	struct sockaddr_un server, own;
	socklen_t server_len, own_len;
} out;

static socklen_t name_of(struct sockaddr_un *a, const char *what)
{
	memset(a, 0, sizeof(*a));
	a->sun_family = AF_UNIX;
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)snprintf(a->sun_path + 1, sizeof(a->sun_path) - 1,
					    "outside-%d-%.40s", getpid(), what));
}

/* Answers with the same bytes, until it is told to end; never longer than a test takes. */
static void serve(int sk)
{
	alarm(120);
	for (;;) {
		struct sockaddr_un from;
		socklen_t len = sizeof(from);
		char data[64];
		ssize_t n = recvfrom(sk, data, sizeof(data), 0, (struct sockaddr *)&from, &len);

		if (n <= 0 || !memcmp(data, "end", 3))
			_exit(0);
		if (out.type == SOCK_DGRAM)
			sendto(sk, data, (size_t)n, MSG_NOSIGNAL, (struct sockaddr *)&from, len);
		else
			send(sk, data, (size_t)n, MSG_NOSIGNAL);
	}
}

/* The server's parent ends, so that it is no descendant of ours. */
static int start_server(int listener)
{
	int status;
	pid_t pid = fork(), again;

	if (pid == 0) {
		again = fork();
		if (again)
			_exit(again < 0);
		setsid();
		for (int fd = 0; fd < 64; fd++)
			if (fd != listener)
				close(fd);
		signal(SIGTERM, SIG_DFL);
		serve(out.type == SOCK_DGRAM ? listener : accept(listener, NULL, NULL));
	}
	close(listener);
	return pid > 0 && waitpid(pid, &status, 0) == pid && !status ? WL_OK : fail_errno("fork");
}

static int exchange(void)
{
	char data[8] = "";

	if (send(out.sk, "ping", 4, MSG_NOSIGNAL) != 4)
		return fail_errno("sending outside");
	if (recv(out.sk, data, sizeof(data), 0) != 4 || memcmp(data, "ping", 4))
		return fail("the answer from outside is '%.8s'", data);
	return WL_OK;
}

static int outside_setup(void)
{
	int listener;

	out.type = param("stream", 0) ? SOCK_STREAM : SOCK_DGRAM;
	out.server_len = name_of(&out.server, "server");
	out.own_len = name_of(&out.own, "client");
	listener = socket(AF_UNIX, out.type, 0);
	out.sk = socket(AF_UNIX, out.type | SOCK_CLOEXEC, 0);
	if (listener < 0 || out.sk < 0 ||
	    bind(listener, (struct sockaddr *)&out.server, out.server_len) < 0 ||
	    (out.type == SOCK_STREAM && listen(listener, 1) < 0) ||
	    bind(out.sk, (struct sockaddr *)&out.own, out.own_len) < 0 ||
	    connect(out.sk, (struct sockaddr *)&out.server, out.server_len) < 0)
		return fail_errno("sockets");
	if (start_server(listener) != WL_OK)
		return WL_FAIL;
	return exchange();
}

static int outside_verify(void)
{
	struct sockaddr_un a = { 0 };
	socklen_t len = sizeof(a);

	/* whoever restores may give it another socket, whose other end has another name */
	if (param("inherited", 0))
		return exchange();
	if (getpeername(out.sk, (struct sockaddr *)&a, &len) < 0 || len != out.server_len ||
	    memcmp(&a, &out.server, len))
		return fail("the other end has another name");
	return exchange();
}

static void outside_teardown(void)
{
	send(out.sk, "end", 3, MSG_NOSIGNAL);
}

static struct workload_param outside_params[] = {
	{ "stream", 0, "1: a stream" },
	{ "inherited", 0, "1: the other end may be another one" },
	{ 0 },
};

const struct workload outside_workloads[] = {
	{ "unix-outside", "a socket that is connected to a process outside of the tree",
	  outside_params, outside_setup, outside_verify, .teardown = outside_teardown },
	{ 0 },
};
