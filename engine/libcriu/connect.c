/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Ways to an engine: a process of ours, a service. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/libcriu/libcriu-priv.h"

static pid_t wait_for(pid_t pid)
{
	pid_t r;

	do
		r = waitpid(pid, NULL, 0);
	while (r < 0 && errno == EINTR);
	return r;
}

/* Between fork() and here other threads may hold any lock: nothing but system calls. The engine
 * waits for its own children, whatever the caller does with that signal. */
static _Noreturn void become_engine(const char *binary, const char *number)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGCHLD);
	signal(SIGCHLD, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
	execlp(binary, binary, "swrk", number, NULL);
	if (errno == ENOENT && strcmp(binary, DEFAULT_BINARY) == 0)
		execl(ENGINE_BINARY, DEFAULT_BINARY, "swrk", number, NULL);
	_exit(127);
}

/*
 * The socket of the engine is the only descriptor that it gets from here: its number is told, and
 * it stays open over exec. detached: a process between us and the engine ends at once.
 */
int libcriu_start(const char *binary, bool detached, struct connection *ret)
{
	char number[16];
	int sk[2], r;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sk) < 0)
		return -errno;
	snprintf(number, sizeof(number), "%d", sk[1]);
	pid = fork();
	if (pid == 0) {
		close(sk[0]);
		if (fcntl(sk[1], F_SETFD, 0) < 0)
			_exit(127);
		if (detached) {
			pid = fork();
			if (pid != 0)
				_exit(pid < 0 ? 127 : 0);
			if (setsid() < 0 || chdir("/") < 0)
				_exit(127);
		}
		become_engine(binary, number);
	}
	r = pid < 0 ? -errno : 0;
	close(sk[1]);
	if (r < 0) {
		close(sk[0]);
		return r;
	}
	if (detached)
		wait_for(pid);
	*ret = (struct connection){ .fd = sk[0], .engine = detached ? 0 : pid };
	return 0;
}

static int connect_service(const char *address, struct connection *ret)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(address);
	int fd, r;

	if (len >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	memcpy(addr.sun_path, address, len);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	len += offsetof(struct sockaddr_un, sun_path);
	if (connect(fd, (struct sockaddr *)&addr, (socklen_t)len) < 0) {
		r = -errno;
		close(fd);
		return r;
	}
	*ret = (struct connection){ .fd = fd };
	return 0;
}

int libcriu_connect(const criu_opts *opts, bool detached, struct connection *ret)
{
	switch (opts->comm) {
	case CRIU_COMM_FD:
		*ret = (struct connection){ .fd = opts->fd };
		return 0;
	case CRIU_COMM_SK:
		return connect_service(opts->service ?: DEFAULT_ADDRESS, ret);
	case CRIU_COMM_BIN:
		break;
	}
	return libcriu_start(opts->service ?: DEFAULT_BINARY, detached, ret);
}

void libcriu_reap(struct connection *c)
{
	if (c->engine > 0)
		wait_for(c->engine);
	c->engine = 0;
}

void libcriu_disconnect(struct connection *c)
{
	close(c->fd);
	libcriu_reap(c);
}
